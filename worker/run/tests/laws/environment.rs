//! What a process sees of what it was given.

use super::harness::{PATH, on_each};

#[test]
fn output_and_exit_code() {
    on_each(|case| {
        let outcome = case.run(case.shell("echo out; echo err >&2; exit 7"));
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"), "{}", case.name);
        assert_eq!(outcome.result.unwrap().code(), 7);
    });
}

#[test]
fn environment_variables_and_home() {
    on_each(|case| {
        let mut spec = case.spec(&["env"]);
        spec.env.extend(["A=1", "B=two words", "A=3"].map(String::from));
        let output = case.output(spec);
        let mut lines: Vec<_> = output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["A=3", "B=two words", "HOME=/root", PATH], "{}", case.name);
    });
}

#[test]
fn the_working_directory_is_made_for_the_user() {
    on_each(|case| {
        let mut spec = case.shell("pwd; stat -c '%u:%g %a' . ..");
        spec.cwd = "/srv/deep/work".into();
        spec.user = "app".into();
        assert_eq!(case.output(spec), "/srv/deep/work\n1000:1001 755\n1000:1001 755\n", "{}", case.name);
    });
}

#[test]
fn a_working_directory_behind_a_link_stays_inside() {
    on_each(|case| {
        std::os::unix::fs::symlink("../../../tmp", case.rootfs().join("link")).unwrap();
        let mut spec = case.shell("pwd");
        spec.cwd = "/link/made".into();
        assert_eq!(case.output(spec), "/tmp/made\n", "{}", case.name);
        assert!(case.upper().join("tmp/made").is_dir());
    });
}

#[test]
fn host_name_and_hosts_file() {
    on_each(|case| {
        let mut spec = case.shell("hostname; cat /etc/hosts");
        spec.extra_hosts.push(slipway_run::HostIp { host: "db".into(), ip: "10.1.2.3".parse().unwrap() });
        let output = case.output(spec);
        assert_eq!(
            output,
            "buildkitsandbox\n127.0.0.1\tlocalhost buildkitsandbox\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n10.1.2.3\tdb\n",
            "{}",
            case.name
        );
        let mut spec = case.spec(&["hostname"]);
        spec.hostname = "mine".into();
        assert_eq!(case.output(spec), "mine\n");
    });
}

#[test]
fn standard_input_is_read_and_is_empty_by_default() {
    on_each(|case| assert_eq!(case.output(case.spec(&["cat"])), ""));
}

#[test]
fn ulimits() {
    on_each(|case| {
        let mut spec = case.shell("ulimit -n; ulimit -Hn");
        spec.ulimits.push(slipway_run::Ulimit { name: "NOFILE".into(), soft: 100, hard: 200 });
        assert_eq!(case.output(spec), "100\n200\n", "{}", case.name);
    });
}

#[test]
fn umask_and_session() {
    on_each(|case| {
        let output =
            case.output(case.shell("umask; echo $$; readlink /proc/self/ns/pid >/dev/null && echo ok"));
        assert_eq!(output, "0022\n1\nok\n", "{}", case.name);
    });
}
