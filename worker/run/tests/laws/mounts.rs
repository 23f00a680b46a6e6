//! Mounts that a build asks for, and that nothing of them stays.

use std::fs;

use slipway_model::Redacted;
use slipway_model::mount::{OverlayUpper, Tree};
use slipway_run::{Mount, MountKind};

use super::harness::{Case, on_each};

fn mount(destination: &str, kind: MountKind) -> Mount {
    Mount { destination: destination.into(), kind }
}

fn bind(case: &Case, name: &str, readonly: bool) -> MountKind {
    let tree = Tree::Bind { source: case.make(name), readonly: false };
    MountKind::Tree { tree, selector: None, readonly }
}

/// Names below the upper directory, sorted, without those that every run makes.
fn changed(case: &Case) -> Vec<String> {
    fn walk(directory: &std::path::Path, prefix: &str, names: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let name = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &name, names);
            }
            names.push(name);
        }
    }
    let mut names = Vec::new();
    walk(&case.upper(), "", &mut names);
    names.sort();
    names
}

#[test]
fn a_tree_is_written_where_it_may_be() {
    on_each(|case| {
        let mut spec =
            case.shell("echo x > /data/file && ! touch /fixed/file 2>/dev/null && cat /fixed/given");
        spec.mounts =
            vec![mount("/data", bind(case, "data", false)), mount("/fixed", bind(case, "fixed", true))];
        fs::write(case.path("fixed/given"), "given").unwrap();
        assert_eq!(case.output(spec), "given", "{}", case.name);
        assert_eq!(fs::read_to_string(case.path("data/file")).unwrap(), "x\n");
    });
}

#[test]
fn mounts_nest_in_the_order_given() {
    on_each(|case| {
        let mut spec = case.shell("echo x > /a/b/file");
        spec.mounts =
            vec![mount("/a", bind(case, "outer", false)), mount("/a/b", bind(case, "inner", false))];
        case.output(spec);
        assert!(case.path("inner/file").exists(), "{}", case.name);
    });
}

#[test]
fn a_selected_file_or_directory() {
    on_each(|case| {
        let source = case.make("source/sub");
        fs::write(source.join("file"), "selected").unwrap();
        let select = |selector: &str| MountKind::Tree {
            tree: Tree::Bind { source: case.path("source"), readonly: false },
            selector: Some(selector.into()),
            readonly: true,
        };
        let mut spec =
            case.shell("cat /one/file /two; ! touch /one/x 2>/dev/null && ! echo x 2>/dev/null > /two");
        spec.mounts = vec![mount("/one", select("/sub")), mount("/two", select("sub/file"))];
        assert_eq!(case.output(spec), "selectedselected", "{}", case.name);
    });
}

#[test]
fn a_tmpfs_of_a_size() {
    on_each(|case| {
        let mut spec = case.shell("stat -c %a /t /u; ! dd if=/dev/zero of=/t/x bs=4096 count=40 2>/dev/null");
        spec.mounts = vec![
            mount("/t", MountKind::Tmpfs { size: Some(65536), mode: None }),
            mount("/u", MountKind::Tmpfs { size: None, mode: Some(0o700) }),
        ];
        assert_eq!(case.output(spec), "1777\n700\n", "{}", case.name);
    });
}

#[test]
fn a_secret_has_its_mode_and_owner_and_stays_in_memory() {
    on_each(|case| {
        let mut spec = case.shell(
            "stat -c '%a %u:%g' /run/secrets/token; cat /run/secrets/token; stat -f -c %T /run/secrets/token;
            ! echo x 2>/dev/null > /run/secrets/token",
        );
        let bytes = Redacted::new(b"hush\xff".to_vec());
        spec.mounts =
            vec![mount("/run/secrets/token", MountKind::File { bytes, mode: 0o440, uid: 1000, gid: 2000 })];
        assert!(!format!("{spec:?}").contains("hush"));
        let output = case.output(spec);
        assert_eq!(output, "440 1000:2000\nhush\u{fffd}tmpfs\n", "{}", case.name);
    });
}

#[test]
fn a_socket_of_the_host_can_be_reached() {
    on_each(|case| {
        let path = case.path("agent.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut spec = case.shell("test -S /run/buildkit/ssh_agent.0 && echo yes");
        spec.mounts = vec![mount(
            "/run/buildkit/ssh_agent.0",
            MountKind::Host { path, readonly: true, programs: false },
        )];
        assert_eq!(case.output(spec), "yes\n", "{}", case.name);
    });
}

#[test]
fn the_last_of_equal_destinations_wins() {
    on_each(|case| {
        let mut spec = case.spec(&["cat", "/etc/hosts"]);
        let file = |text: &str| {
            let bytes = Redacted::new(text.as_bytes().to_vec());
            mount("/etc/hosts", MountKind::File { bytes, mode: 0o444, uid: 0, gid: 0 })
        };
        spec.mounts = vec![file("first"), file("second")];
        assert_eq!(case.output(spec), "second", "{}", case.name);
    });
}

#[test]
fn a_read_only_root() {
    on_each(|case| {
        let mut spec = case.shell("! touch /x 2>/dev/null; echo y > /data/y && echo z > /dev/null; echo ok");
        spec.readonly_root = true;
        spec.mounts = vec![mount("/data", bind(case, "data", false))];
        assert_eq!(case.output(spec), "ok\n", "{}", case.name);
        assert!(!changed(case).contains(&"/data".into()), "{}: {:?}", case.name, changed(case));
    });
}

#[test]
fn mount_points_that_were_made_are_removed() {
    on_each(|case| {
        let mut spec = case.spec(&["true"]);
        spec.mounts = vec![
            mount("/made/deep/dir", bind(case, "data", false)),
            mount("/tmp/t", MountKind::Tmpfs { size: None, mode: None }),
        ];
        spec.remove_mount_stubs_recursive = true;
        case.output(spec);
        assert_eq!(changed(case), ["/etc", "/tmp"], "{}", case.name);

        let mut spec = case.spec(&["true"]);
        spec.mounts = vec![mount("/made/deep/dir", bind(case, "data", false))];
        case.output(spec);
        assert_eq!(changed(case), ["/etc", "/made", "/made/deep", "/tmp"], "{}", case.name);
    });
}

#[test]
fn a_mount_point_that_was_used_stays() {
    on_each(|case| {
        let mut spec = case.shell("echo x > /kept/beside");
        spec.mounts = vec![mount("/kept/dir", bind(case, "data", false))];
        spec.remove_mount_stubs_recursive = true;
        case.output(spec);
        assert_eq!(changed(case), ["/etc", "/kept", "/kept/beside"], "{}", case.name);
    });
}

#[test]
fn times_of_the_parent_stay() {
    on_each(|case| {
        if !case.is_builtin() {
            return;
        }
        let time =
            |path: &std::path::Path| rustix::fs::stat(path).map(|stat| (stat.st_mtime, stat.st_mtime_nsec));
        let before = time(&case.rootfs().join("etc")).unwrap();
        case.output(case.spec(&["true"]));
        assert_eq!(time(&case.upper().join("etc")).unwrap(), before);
    });
}

#[test]
fn a_dangling_resolv_conf_is_mounted_where_it_points() {
    on_each(|case| {
        std::os::unix::fs::symlink(
            "../run/systemd/resolve/stub-resolv.conf",
            case.rootfs().join("etc/resolv.conf"),
        )
        .unwrap();
        let mut spec = case.shell("cat /etc/resolv.conf >/dev/null && readlink /etc/resolv.conf");
        spec.remove_mount_stubs_recursive = true;
        assert_eq!(case.output(spec), "../run/systemd/resolve/stub-resolv.conf\n", "{}", case.name);
        assert!(!case.upper().join("run").exists(), "{}: {:?}", case.name, changed(case));
    });
}

#[test]
fn an_overlay_of_five_hundred_layers() {
    on_each(|case| {
        let mut lowers: Vec<_> = (0..499)
            .map(|number| {
                let layer = case.make(&format!("layers/{number}"));
                fs::write(layer.join(format!("file-{number}")), number.to_string()).unwrap();
                layer
            })
            .collect();
        lowers.push(case.rootfs());
        let mut spec = case.shell("ls / | grep -c file-; cat /file-0 /file-498");
        let upper = OverlayUpper { upper: case.upper(), work: case.path("work") };
        spec.root = Tree::Overlay { lowers, upper: Some(upper) };
        assert_eq!(case.output(spec), "499\n0498", "{}", case.name);
    });
}

#[test]
fn the_same_tree_can_run_again() {
    on_each(|case| {
        for text in ["one", "two"] {
            case.output(case.shell(&format!("echo {text} >> /log")));
        }
        assert_eq!(fs::read_to_string(case.upper().join("log")).unwrap(), "one\ntwo\n", "{}", case.name);
    });
}

#[test]
fn a_missing_layer_is_named() {
    on_each(|case| {
        let mut spec = case.spec(&["true"]);
        spec.root = Tree::Overlay { lowers: vec![case.path("nowhere"), case.rootfs()], upper: None };
        let error = case.error(spec);
        assert!(error.starts_with("cannot mount the root tree"), "{}: {error}", case.name);
    });
}
