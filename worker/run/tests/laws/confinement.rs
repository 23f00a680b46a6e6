//! What a sandboxed process must not be able to do, and what an insecure one may.

use slipway_run::{Network, Security};

use super::harness::{Case, on_each};

fn capability(case: &Case, set: &str, security: Security, user: &str) -> u64 {
    let mut spec = case.spec(&["grep", set, "/proc/self/status"]);
    (spec.security, spec.user) = (security, user.into());
    u64::from_str_radix(case.output(spec).split_whitespace().nth(1).unwrap(), 16).unwrap()
}

fn our_bounding_set() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
fn capabilities_of_the_sandbox() {
    on_each(|case| {
        let expected = 0xa804_25fb & our_bounding_set();
        for set in ["CapBnd", "CapPrm", "CapEff"] {
            assert_eq!(capability(case, set, Security::Sandbox, ""), expected, "{} {set}", case.name);
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(capability(case, set, Security::Sandbox, ""), 0, "{} {set}", case.name);
        }
        assert_eq!(capability(case, "CapBnd", Security::Sandbox, "app"), expected);
        assert_eq!(capability(case, "CapEff", Security::Sandbox, "app"), 0, "{}", case.name);
    });
}

#[test]
fn capabilities_of_insecure_mode() {
    on_each(|case| {
        for set in ["CapBnd", "CapEff", "CapAmb"] {
            assert_eq!(
                capability(case, set, Security::Insecure, ""),
                our_bounding_set(),
                "{} {set}",
                case.name
            );
        }
        assert_eq!(capability(case, "CapEff", Security::Insecure, "app"), our_bounding_set());
    });
}

#[test]
fn the_filter_is_active_only_in_the_sandbox() {
    on_each(|case| {
        let status = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | tr '\\t' ' '";
        assert_eq!(case.output(case.shell(status)), "NoNewPrivs: 0\nSeccomp: 2\n", "{}", case.name);
        let unshare = case.run(case.spec(&["unshare", "-U", "true"]));
        assert_ne!(unshare.result.unwrap().code(), 0, "{}", case.name);
        assert!(unshare.stderr.contains("Operation not permitted"), "{}", unshare.stderr);

        let mut insecure = case.shell(status);
        insecure.security = Security::Insecure;
        assert_eq!(case.output(insecure), "NoNewPrivs: 0\nSeccomp: 0\n", "{}", case.name);
        let mut insecure = case.spec(&["unshare", "-m", "true"]);
        insecure.security = Security::Insecure;
        case.output(insecure);
    });
}

#[test]
fn parts_of_proc_and_sys_are_masked() {
    on_each(|case| {
        let script = "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c
            ls /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v : | grep -c .
            touch /proc/sys/kernel/hostname 2>/dev/null; echo x > /proc/sys/kernel/hostname || echo refused
            echo b > /proc/sysrq-trigger || echo refused
            mkdir /sys/x || echo refused";
        let outcome = case.run(case.shell(script));
        assert_eq!(outcome.stdout, "0\n0\nrefused\nrefused\nrefused\n", "{}: {}", case.name, outcome.stderr);
    });
}

/// "major minor" of some disk that the host itself can read.
pub(super) fn host_disk() -> Option<String> {
    let disks = std::fs::read_dir("/sys/block").ok()?.flatten();
    let mut disks =
        disks.filter(|disk| std::fs::File::open(std::path::Path::new("/dev").join(disk.file_name())).is_ok());
    let number = std::fs::read_to_string(disks.next()?.path().join("dev")).ok()?;
    Some(number.trim().replace(':', " "))
}

#[test]
fn devices_of_the_host_cannot_be_opened() {
    on_each(|case| {
        // As root with CAP_MKNOD: the node can be made, in the tree, in /dev and in /tmp, but it leads nowhere.
        let Some(device) = host_disk() else { return };
        let script = "for at in /sda /dev/sda /dev/shm/sda /tmp/sda; do
                mknod $at b DEVICE 2>/dev/null; head -c 1 $at >/dev/null 2>&1 && echo \"opened $at\"; done
            echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; ls /dev | sort";
        let output = case.output(case.shell(&script.replace("DEVICE", &device)));
        let mut lines: Vec<_> = output.lines().filter(|line| *line != "sda").collect();
        lines.retain(|line| !["console", "core"].contains(line));
        let expected = [
            "3", "3", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
            "stdout", "tty", "urandom", "zero",
        ];
        assert_eq!(lines, expected, "{}", case.name);
    });
}

#[test]
fn the_hosts_device_nodes_cannot_be_changed() {
    on_each(|case| {
        let before = rustix::fs::stat("/dev/null").unwrap();
        case.run(case.shell("chmod 600 /dev/null; chown 1:1 /dev/null"));
        let after = rustix::fs::stat("/dev/null").unwrap();
        assert_eq!((before.st_mode, before.st_uid), (after.st_mode, after.st_uid), "{}", case.name);
    });
}

#[test]
fn nothing_but_the_standard_streams_is_open() {
    on_each(|case| {
        let output = case.output(case.shell(
            "n=0; while [ $n -lt 300 ]; do test -e /proc/$$/fd/$n && echo $n; n=$((n+1)); done; true",
        ));
        assert_eq!(output, "0\n1\n2\n", "{}", case.name);
    });
}

#[test]
fn the_network_none_has_only_lo() {
    on_each(|case| {
        let mut spec = case.shell("ls /sys/class/net; cat /sys/class/net/lo/flags");
        spec.network = Network::None;
        assert_eq!(case.output(spec), "lo\n0x9\n", "{}", case.name);
        let host = std::fs::read_link("/proc/self/ns/net").unwrap();
        let output = case.output(case.spec(&["readlink", "/proc/self/ns/net"]));
        assert_eq!(output.trim(), host.to_str().unwrap(), "{}", case.name);
    });
}

#[test]
fn namespaces_are_the_steps_own() {
    on_each(|case| {
        for kind in ["mnt", "pid", "uts", "ipc"] {
            let path = format!("/proc/self/ns/{kind}");
            let host = std::fs::read_link(&path).unwrap();
            assert_ne!(case.output(case.spec(&["readlink", &path])).trim(), host.to_str().unwrap());
        }
    });
}
