//! Images and builds that mean harm. Each of these was once an advisory of some runtime or builder.

use std::fs;
use std::os::unix::fs::symlink;

use slipway_model::Redacted;
use slipway_model::mount::Tree;
use slipway_run::{Mount, MountKind, Security};

use super::harness::{Case, on_each};

fn file(destination: &str, text: &str) -> Mount {
    let bytes = Redacted::new(text.as_bytes().to_vec());
    Mount { destination: destination.into(), kind: MountKind::File { bytes, mode: 0o444, uid: 0, gid: 0 } }
}

/// A directory of the host that no step may touch, and what is in it.
fn canary(case: &Case) -> std::path::PathBuf {
    let canary = case.make("canary");
    fs::write(canary.join("secret"), "of the host").unwrap();
    canary
}

#[track_caller]
fn assert_untouched(case: &Case) {
    let entries: Vec<_> =
        fs::read_dir(case.path("canary")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries, ["secret"], "{}", case.name);
    assert_eq!(fs::read_to_string(case.path("canary/secret")).unwrap(), "of the host");
}

#[test]
fn a_mount_target_that_leads_out_of_the_root() {
    on_each(|case| {
        let canary = canary(case);
        symlink(&canary, case.rootfs().join("absolute")).unwrap();
        symlink("../../../../../../../..".to_owned() + canary.to_str().unwrap(), case.rootfs().join("up"))
            .unwrap();
        for target in ["/absolute/made", "/up/made", "/../../../etc/made", "/absolute/secret"] {
            let mut spec = case.spec(&["cat", target]);
            spec.mounts.push(file(target, "mounted"));
            assert_eq!(case.output(spec), "mounted", "{}: {target}", case.name);
            assert_untouched(case);
        }
    });
}

#[test]
fn a_selector_that_leads_out_of_its_tree() {
    on_each(|case| {
        let source = case.make("source");
        fs::create_dir_all(source.join("etc")).unwrap();
        fs::write(source.join("etc/passwd"), "inside").unwrap();
        symlink("../../../../etc", source.join("up")).unwrap();
        symlink("/etc", source.join("absolute")).unwrap();
        symlink("/nowhere", source.join("dangling")).unwrap();
        let with = |selector: &str| {
            let mut spec = case.spec(&["cat", "/mnt/passwd"]);
            let tree = Tree::Bind { source: source.clone(), readonly: true };
            let kind = MountKind::Tree { tree, selector: Some(selector.into()), readonly: true };
            spec.mounts.push(Mount { destination: "/mnt".into(), kind });
            spec
        };
        for selector in ["up", "absolute", "/../../etc", "etc/../up"] {
            assert_eq!(case.output(with(selector)), "inside", "{}: {selector}", case.name);
        }
        for selector in ["dangling", "missing"] {
            let error = case.error(with(selector));
            assert!(error.contains(selector), "{}: {error}", case.name);
        }
    });
}

#[test]
fn standard_mount_points_that_are_links() {
    on_each(|case| {
        let canary = canary(case);
        for place in ["proc", "sys", "dev"] {
            let place = case.rootfs().join(place);
            fs::remove_dir(&place).unwrap();
            symlink(&canary, &place).unwrap();
            let outcome = case.run(case.spec(&["true"]));
            assert!(outcome.result.is_err(), "{}: {outcome:?}", case.name);
            assert_untouched(case);
            fs::remove_file(&place).unwrap();
            fs::create_dir(&place).unwrap();
        }
    });
}

#[test]
fn a_mount_inside_proc_is_refused() {
    on_each(|case| {
        symlink("/proc/self", case.rootfs().join("me")).unwrap();
        for target in ["/proc/self/attr", "/me/fd", "/proc/sys/kernel"] {
            let mut spec = case.spec(&["true"]);
            let kind = MountKind::Tmpfs { size: None, mode: None };
            spec.mounts.push(Mount { destination: target.into(), kind });
            case.error(spec);
        }
    });
}

#[test]
fn a_working_directory_among_the_runtimes_descriptors() {
    on_each(|case| {
        for number in 0..40 {
            let mut spec = case.shell("cd ../../../../../../../.. && ls");
            spec.cwd = format!("/proc/self/fd/{number}");
            let outcome = case.run(spec);
            if outcome.result.as_ref().is_ok_and(|exit| exit.success()) {
                panic!("{}: fd {number} was a directory: {}", case.name, outcome.stdout);
            }
        }
    });
}

#[test]
fn a_command_among_the_runtimes_descriptors() {
    on_each(|case| {
        for number in 3..20 {
            let outcome = case.run(case.spec(&[&format!("/proc/self/fd/{number}")]));
            assert!(!outcome.result.is_ok_and(|exit| exit.success()), "{}: {number}", case.name);
        }
        // Ourselves by another name: what runs must not be the helper's file.
        let outcome = case.run(case.spec(&["/proc/self/exe"]));
        assert!(!outcome.result.is_ok_and(|exit| exit.success()) || case.name == "runc", "{}", case.name);
    });
}

#[test]
fn a_stub_swapped_for_a_link_is_not_followed() {
    on_each(|case| {
        let canary = canary(case);
        fs::write(canary.join("empty"), "").unwrap();
        let mut spec = case.shell(&format!("mkdir -p /tmp/x; mv /a /tmp/x/a; ln -s {} /a", canary.display()));
        spec.mounts.push(file("/a/b/empty", "mounted"));
        case.run(spec);
        assert!(canary.join("empty").exists(), "{}", case.name);
    });
}

#[test]
fn a_user_file_that_is_a_pipe_or_endless_is_refused() {
    on_each(|case| {
        let passwd = case.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &passwd,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        let mut spec = case.spec(&["true"]);
        spec.user = "app".into();
        assert!(case.error(spec).contains("not a regular file"), "{}", case.name);
        fs::remove_file(&passwd).unwrap();
        fs::File::create(&passwd).unwrap().set_len(11 << 20).unwrap();
        let mut spec = case.spec(&["true"]);
        spec.user = "app".into();
        assert!(case.error(spec).contains("larger than"), "{}", case.name);
    });
}

#[test]
fn a_control_group_parent_cannot_lead_up() {
    on_each(|case| {
        let mut spec = case.spec(&["true"]);
        spec.cgroup_parent = Some("/../../escape".into());
        assert!(case.error(spec).contains(".."), "{}", case.name);
    });
}

#[test]
fn the_hosts_root_is_out_of_reach() {
    on_each(|case| {
        for security in [Security::Sandbox, Security::Insecure] {
            let mut spec =
                case.shell("ls -d /../../tmp/slipway-run-* /proc/1/root/tmp/slipway-run-* 2>/dev/null");
            spec.security = security;
            assert_eq!(case.run(spec).stdout, "", "{}", case.name);
            let mut spec =
                case.shell("ls / | sort > /tmp/one; cd /..; ls | sort > /tmp/two; ls /../../bin/sh");
            spec.security = security;
            assert_eq!(case.output(spec), "/../../bin/sh\n", "{}", case.name);
            let list = |name| fs::read_to_string(case.upper().join("tmp").join(name)).unwrap();
            assert_eq!(list("one"), list("two"), "{}", case.name);
        }
    });
}
