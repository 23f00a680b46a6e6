//! Processes that do not behave, and runtimes that are killed under them.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use slipway_run::{Error, ProcessSpec, Ulimit};

use super::harness::{Case, on_ours};

/// A number of seconds to sleep that nobody else sleeps.
fn marker(case: &Case) -> String {
    let name = case.path("x").display().to_string();
    let unique: u64 = name.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 900_000);
    format!("{}.{}", 100_000 + unique, std::process::id())
}

/// The process of the host whose arguments are `sleep MARKER`.
fn sleeper(marker: &str) -> Option<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let wanted = format!("sleep\0{marker}\0");
    processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).find(|pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    })
}

fn parent(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok()).unwrap()
}

/// Runs a process and kills what `which` says of its ancestors, from itself up to our own child.
fn killed(case: &Case, which: impl Fn(&[i32]) -> i32 + Sync) -> (super::harness::Outcome, String) {
    let marker = marker(case);
    let spec = case.spec(&["sleep", &marker]);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(60);
            let mut line = loop {
                if let Some(pid) = sleeper(&marker) {
                    break vec![pid];
                }
                assert!(Instant::now() < deadline, "{}: it does not run", case.name);
                std::thread::sleep(Duration::from_millis(20));
            };
            while parent(line[line.len() - 1]) != std::process::id() as i32 {
                line.push(parent(line[line.len() - 1]));
            }
            kill_process(Pid::from_raw(which(&line)).unwrap(), Signal::KILL).unwrap();
        });
        case.run(spec)
    });
    (outcome, marker)
}

fn assert_gone(case: &Case, marker: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while sleeper(marker).is_some() {
        assert!(Instant::now() < deadline, "{}: the process goes on", case.name);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_helper_that_is_killed_takes_its_process_along() {
    on_ours(|case| {
        let (outcome, marker) = killed(case, |line| line[line.len() - 1]);
        match &outcome.result {
            Err(Error::HelperLost { how }) => assert!(how.contains("signal"), "{}: {how}", case.name),
            other => panic!("{}: {other:?}", case.name),
        }
        assert_gone(case, &marker);
        case.output(case.spec(&["true"]));
    });
}

#[test]
fn an_oci_runtime_that_is_killed_takes_its_container_along() {
    on_ours(|case| {
        if case.is_builtin() {
            return;
        }
        let (outcome, marker) = killed(case, |line| line[line.len() - 2]);
        assert_eq!(outcome.result.unwrap().code(), 137, "{}", case.name);
        assert_gone(case, &marker);
    });
}

#[test]
fn a_process_that_is_killed_from_outside_is_told() {
    on_ours(|case| {
        let (outcome, _) = killed(case, |line| line[0]);
        assert_eq!(outcome.result.unwrap().code(), 137, "{}", case.name);
    });
}

#[test]
fn one_that_forks_for_ever_stays_within_its_limit_and_ends() {
    on_ours(|case| {
        let user = 60_000 + std::process::id() % 5_000 + u32::from(case.is_builtin());
        let bomb = "bomb() { bomb | bomb & }; bomb; sleep 1000; echo outlived";
        let mut spec: ProcessSpec = case.shell(bomb);
        spec.user = user.to_string();
        spec.ulimits = vec![Ulimit { name: "nproc".into(), soft: 40, hard: 40 }];
        let begin = Instant::now();
        let outcome = case.run_until(spec, Some(Duration::from_millis(1500)));
        assert!(!outcome.stdout.contains("outlived"), "{}", case.name);
        assert!(begin.elapsed() < Duration::from_secs(60), "{}: {:?}", case.name, begin.elapsed());
        let left = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
            fs::read_to_string(process.path().join("status"))
                .is_ok_and(|status| status.contains(&format!("Uid:\t{user}\t")))
        });
        assert_eq!(left.count(), 0, "{}", case.name);
    });
}

#[test]
fn one_that_closes_its_streams_is_waited_for() {
    on_ours(|case| {
        let outcome = case.run(case.shell("echo before; exec >&- 2>&-; echo lost; sleep 0.5; exit 5"));
        assert_eq!(outcome.result.unwrap().code(), 5, "{}", case.name);
        assert_eq!(outcome.stdout, "before\n", "{}", case.name);
    });
}

#[test]
fn one_that_says_a_lot_is_heard_to_the_end() {
    on_ours(|case| {
        let outcome = case.run(case.shell("head -c 33554432 /dev/zero | tr '\\0' x; echo end >&2; exit 4"));
        assert_eq!(outcome.stdout.len(), 32 << 20, "{}", case.name);
        assert_eq!(outcome.stderr, "end\n", "{}", case.name);
        assert_eq!(outcome.result.unwrap().code(), 4, "{}", case.name);
    });
}
