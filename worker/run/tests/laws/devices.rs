//! Devices that a process was given, and programs that run around it.

use slipway_run::{DeviceNode, Hook, HookPoint, Mount, MountKind, NodeKind, ProcessSpec};

use super::harness::{Case, on_ours};

/// A device that every host has and no process gets by itself.
fn kernel_log(case: &Case, script: &str, access: &str) -> ProcessSpec {
    let node = DeviceNode {
        kind: NodeKind::Character,
        major: 1,
        minor: 11,
        mode: 0o640,
        uid: None,
        gid: Some(2000),
        access: access.into(),
    };
    let mut spec = case.shell(script);
    spec.mounts.push(Mount { destination: "/dev/acme/log".into(), kind: MountKind::Device(node) });
    spec
}

#[test]
fn a_device_is_usable_where_it_was_given() {
    on_ours(|case| {
        let script =
            "stat -c '%a %u %g %t %T' /dev/acme/log; echo '<7>a law' > /dev/acme/log && echo written";
        assert_eq!(case.output(kernel_log(case, script, "rw")), "640 0 2000 1 b\nwritten\n", "{}", case.name);
        let outcome = case.run(case.shell("mknod /log c 1 11; echo x > /log"));
        assert!(!outcome.result.unwrap().success(), "{}: usable without having been given", case.name);
        assert!(!case.upper().join("dev/acme").exists(), "{}: left in the tree", case.name);
    });
}

#[test]
fn its_owner_is_who_runs() {
    on_ours(|case| {
        let mut spec =
            kernel_log(case, "stat -c %u /dev/acme/log; test -w /dev/acme/log && echo writable", "rwm");
        spec.user = "app".into();
        spec.groups = vec![4321];
        assert_eq!(case.output(spec), "1000\nwritable\n", "{}", case.name);
        let mut spec = case.spec(&["id", "-G"]);
        (spec.user, spec.groups) = ("app".into(), vec![4321]);
        assert_eq!(case.output(spec).trim_end(), "1001 3000 4321", "{}", case.name);
    });
}

#[test]
fn limited_access_takes_a_control_group() {
    on_ours(|case| {
        let spec = kernel_log(case, "echo x > /dev/acme/log", "r");
        if case.is_builtin() {
            let error = case.error(spec);
            assert!(error.contains("/dev/acme/log") && error.contains("OCI runtime"), "{error}");
        } else {
            assert!(!case.run(spec).result.unwrap().success(), "{}", case.name);
        }
    });
}

#[test]
fn hooks_are_an_oci_runtimes() {
    on_ours(|case| {
        let told = case.path("told");
        let mut spec = case.spec(&["true"]);
        spec.hooks.push(Hook {
            point: HookPoint::CreateRuntime,
            path: "/bin/sh".into(),
            args: ["sh", "-c", "cat > \"$TOLD\""].map(String::from).into(),
            env: vec![format!("TOLD={}", told.display()), "PATH=/usr/bin:/bin".into()],
            timeout: Some(30),
        });
        if case.is_builtin() {
            assert!(case.error(spec).contains("OCI runtime"));
            assert!(!told.exists());
        } else {
            case.output(spec);
            assert!(std::fs::read_to_string(told).unwrap().contains("\"pid\""), "{}", case.name);
        }
    });
}

#[test]
fn devices_of_insecure_mode_can_be_used() {
    on_ours(|case| {
        let script = "mknod /own c 1 3 && echo x > /own
            test -c /dev/fuse && test -c /dev/kmsg && test -b /dev/loop0 && echo there
            echo '<7>a law' > /dev/kmsg && echo written
            mkdir /m && mount -t tmpfs none /m && umount /m && echo mounted";
        let mut spec = case.shell(script);
        spec.security = slipway_run::Security::Insecure;
        assert_eq!(case.output(spec), "there\nwritten\nmounted\n", "{}", case.name);
    });
}
