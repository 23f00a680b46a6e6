//! `USER` in all its forms.

use super::harness::{Case, on_each};

#[track_caller]
fn check(case: &Case, user: &str, expected: &str) {
    let mut spec = case.shell("echo $(id -u) $(id -g) $(id -G) $HOME");
    spec.user = user.into();
    assert_eq!(case.output(spec).trim(), expected, "{}: {user:?}", case.name);
}

#[test]
fn names_and_numbers() {
    on_each(|case| {
        check(case, "", "0 0 0 /root");
        check(case, "app", "1000 1001 1001 3000 /home/app");
        check(case, "1000", "1000 1001 1001 3000 /home/app");
        check(case, "4321", "4321 0 0 /");
        check(case, "app:grp", "1000 2000 2000 /home/app");
        check(case, "5:6", "5 6 6 /");
        check(case, "0:0", "0 0 0 /root");
    });
}

#[test]
fn who_is_unknown_is_refused() {
    on_each(|case| {
        for (user, message) in [
            ("nobody", "unable to find user nobody: no matching entries in /etc/passwd"),
            ("app:nogroup", "unable to find group nogroup: no matching entries in /etc/group"),
            ("99999999999", "not within"),
        ] {
            let mut spec = case.spec(&["true"]);
            spec.user = user.into();
            let error = case.error(spec);
            assert!(error.contains(message), "{}: {error}", case.name);
        }
    });
}

#[test]
fn a_user_can_reopen_the_standard_streams() {
    on_each(|case| {
        let mut spec = case.shell("echo out >/dev/stdout; echo err >/dev/stderr");
        spec.user = "app".into();
        let outcome = case.run(spec);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"), "{}", case.name);
    });
}

#[test]
fn the_tree_names_its_users_not_the_host() {
    on_each(|case| {
        std::fs::remove_file(case.rootfs().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("../../../etc/passwd.image", case.rootfs().join("etc/passwd")).unwrap();
        std::fs::write(case.rootfs().join("etc/passwd.image"), "own:x:77:78::/own:\n").unwrap();
        check(case, "own", "77 78 78 /own");
        let mut spec = case.spec(&["true"]);
        spec.user = "daemon".into();
        assert!(case.error(spec).contains("unable to find user daemon"));
    });
}
