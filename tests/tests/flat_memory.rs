//! A daemon that has built much is as small as one that has built little.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::fs;
use std::time::Duration;

use slipway_tests::{Daemon, Project, eventually};

/// What a daemon holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Resident bytes. What builds leave on purpose is in it: the records of the cache, which are asked from memory.
    memory: u64,
    /// Of them, those that no file stands behind: what the allocator has, and stacks.
    anonymous: u64,
    descriptors: usize,
    threads: usize,
}

/// Memory is given back a few seconds after the last build; threads of the pool go after ten.
const PATIENCE: Duration = Duration::from_secs(20);
const BEFORE: usize = 20;
const BUILDS: usize = 200;

#[test]
fn two_hundred_builds_leave_nothing_behind_in_memory() {
    let daemon = Daemon::start();
    let build = &|number: usize| {
        let project = Project::empty();
        project.write("file", format!("content {number}"));
        project.write(
            "Dockerfile",
            format!("FROM scratch\nCOPY file /one\nCOPY file /two{number}\nENV NUMBER={number}\n"),
        );
        daemon.build(&project).progress("quiet").succeed();
    };
    // Two at a time: most of what a build takes here is the start of its client.
    let builds = |from: usize, to: usize| {
        std::thread::scope(|scope| {
            for lane in 0..2 {
                scope.spawn(move || (from..to).filter(|number| number % 2 == lane).for_each(build));
            }
        });
    };
    builds(0, BEFORE);
    let before = at_rest(&daemon, None);
    builds(BEFORE, BUILDS);
    let after = at_rest(&daemon, Some(before));
    println!("after {BEFORE} builds {before:?}, after {BUILDS} {after:?}");
    assert!(after.fits(before), "{before:?} has become {after:?}");
}

impl Held {
    fn fits(self, before: Self) -> bool {
        self.memory * 10 <= before.memory * 11
            && self.anonymous <= before.anonymous + (before.memory / 10)
            && self.descriptors <= before.descriptors + 2
            && self.threads <= before.threads + 2
    }
}

/// Waits until the daemon rests; with `goal`, no longer than until it is reached.
fn at_rest(daemon: &Daemon, goal: Option<Held>) -> Held {
    // Builds can be watched for three seconds after their end.
    std::thread::sleep(Duration::from_secs(5));
    let mut last = held(daemon.pid());
    eventually(PATIENCE, || {
        std::thread::sleep(Duration::from_millis(500));
        let now = held(daemon.pid());
        let steady = now.memory == last.memory && now.threads == last.threads;
        last = now;
        goal.map_or(steady, |goal| now.fits(goal))
    });
    last
}

fn held(pid: u32) -> Held {
    let count = |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).unwrap().count();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kilobytes = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (memory, anonymous) = (kilobytes("Rss:") << 10, kilobytes("Anonymous:") << 10);
    Held { memory, anonymous, descriptors: count("fd"), threads: count("task") }
}
