//! One more process in a container that runs.

use std::time::{Duration, Instant};

use slipway_run::{Error, ProcessSpec, Security, Signal};

use super::confinement::host_disk;
use super::harness::{Case, Inside, Outcome, on_each};

fn in_a_container(test: impl Fn(&Case, &Inside<'_>)) {
    on_each(|case| {
        let mut first = case.shell("echo of the first > /left; trap '' TERM; while :; do sleep 0.2; done");
        first.hostname = "shared".into();
        case.inside(first, |inside| test(case, inside));
    });
}

#[track_caller]
fn output(outcome: &Outcome) -> &str {
    assert!(outcome.result.as_ref().is_ok_and(slipway_run::Exit::success), "{outcome:?}");
    &outcome.stdout
}

fn joining(inside: &Inside<'_>, spec: ProcessSpec) -> Outcome {
    inside.join(spec, drop)
}

#[test]
fn it_shares_tree_names_and_processes() {
    in_a_container(|case, inside| {
        let script = "until test -s /left; do sleep 0.1; done; cat /left; hostname; \
                      grep -c while /proc/1/cmdline; readlink /proc/self/ns/mnt; readlink /proc/1/ns/mnt";
        let outcome = joining(inside, case.shell(script));
        let lines: Vec<&str> = output(&outcome).lines().collect();
        assert_eq!(lines[..3], ["of the first", "shared", "1"], "{}", case.name);
        assert_eq!(lines[3], lines[4], "{}", case.name);
    });
}

#[test]
fn its_user_directory_and_variables_are_its_own() {
    in_a_container(|case, inside| {
        let mut spec = case.shell("id -u; id -G; pwd; echo $OWN");
        spec.user = "app".into();
        spec.cwd = "/made/for/it".into();
        spec.env.push("OWN=yes".into());
        assert_eq!(output(&joining(inside, spec)), "1000\n1001 3000\n/made/for/it\nyes\n", "{}", case.name);
    });
}

#[test]
fn it_is_as_confined_as_the_first() {
    let script = "grep -E '^(CapBnd|CapEff|CapInh|Seccomp|NoNewPrivs):' /proc/self/status | tr '\\t' ' '
        n=3; while [ $n -lt 64 ]; do test -e /proc/$$/fd/$n && echo open $n; n=$((n+1)); done
        unshare -U true 2>/dev/null && echo unshared
        for at in /disk /dev/disk /tmp/disk; do
        mknod $at b DISK 2>/dev/null; head -c 1 $at >/dev/null 2>&1 && echo opened $at; done; true";
    let Some(disk) = host_disk() else { return };
    let script = &script.replace("DISK", &disk);
    on_each(|case| {
        let first = case.output(case.shell(script));
        assert!(first.contains("Seccomp: 2") && !first.contains("open"), "{}: {first}", case.name);
        case.inside(case.spec(&["sleep", "1000"]), |inside| {
            assert_eq!(output(&joining(inside, case.shell(script))), first, "{}", case.name);
            let mut insecure = case.shell("grep Seccomp: /proc/self/status | tr '\\t' ' '");
            insecure.security = Security::Insecure;
            // The filter is the container's where an OCI runtime joins.
            let expected = if case.name == "runc" { "Seccomp: 2\n" } else { "Seccomp: 0\n" };
            assert_eq!(output(&joining(inside, insecure)), expected, "{}", case.name);
        });
    });
}

#[test]
fn exit_codes_and_commands_that_are_missing() {
    in_a_container(|case, inside| {
        let outcome = joining(inside, case.shell("echo said; exit 7"));
        assert_eq!(outcome.result.unwrap().code(), 7, "{}", case.name);
        assert_eq!(outcome.stdout, "said\n", "{}", case.name);
        match joining(inside, case.spec(&["nonesuch"])).result {
            Err(Error::NotStarted(reason)) => assert_eq!(reason.code, 127, "{}: {reason}", case.name),
            other => panic!("{}: {other:?}", case.name),
        }
    });
}

#[test]
fn signals_reach_it_and_not_the_first() {
    in_a_container(|case, inside| {
        let spec = case.shell("trap 'echo caught; exit 3' TERM; while :; do sleep 0.1; done");
        let outcome = inside.join(spec, |running| {
            std::thread::sleep(Duration::from_millis(500));
            running.signal(Signal::TERM).unwrap();
        });
        assert_eq!(outcome.stdout, "caught\n", "{}: {outcome:?}", case.name);
        assert_eq!(outcome.result.unwrap().code(), 3, "{}", case.name);
        let outcome = inside.join(case.spec(&["sleep", "1000"]), |running| {
            running.signal(Signal::KILL).unwrap();
        });
        assert_eq!(outcome.result.unwrap().code(), 137, "{}", case.name);
        assert_eq!(output(&joining(inside, case.spec(&["echo", "alive"]))), "alive\n", "{}", case.name);
    });
}

#[test]
fn it_ends_with_the_container() {
    on_each(|case| {
        let begin = Instant::now();
        case.inside(case.shell("sleep 1.5"), |inside| {
            let outcome = joining(inside, case.spec(&["sleep", "1000"]));
            assert!(!outcome.result.is_ok_and(|exit| exit.success()), "{}", case.name);
        });
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", case.name);
    });
}
