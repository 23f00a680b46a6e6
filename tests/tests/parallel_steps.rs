//! Stages that do not need each other run side by side, and each of them once.

use slipway_tests::{Daemon, Fake, Project};

/// Three stages that end in the order given by how long they sleep, and note each start in a cache.
fn build(seconds: [&str; 3]) {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let stage = |name: &str, seconds: &str| {
        format!(
            "FROM BUSYBOX AS {name}\n\
             RUN --mount=type=cache,target=/c,id={name} echo start >> /c/{name}; sleep {seconds}; cp /c/{name} /{name}\n"
        )
    };
    let [first, second, third] = seconds;
    let stages = [stage("one", first), stage("two", second), stage("three", third)].concat();
    let collect =
        "FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\nCOPY --from=three /three /\n";
    let project = Project::new(&fake.busybox(), &format!("{stages}{collect}"));
    let out = Project::empty();
    let outcome = daemon.build(&project).to(out.path()).succeed();
    for name in ["one", "two", "three"] {
        assert_eq!(out.read(name), "start\n", "{name} was begun more than once\n{}", outcome.told());
    }
    assert!(!outcome.stderr.contains("CANCELED"), "{}", outcome.told());
    daemon.assert_idle();
}

#[test]
fn the_first_is_the_slowest() {
    build(["0.8", "0.4", "0.1"]);
}

#[test]
fn the_second_is_the_slowest() {
    build(["0.1", "0.8", "0.4"]);
}

#[test]
fn the_last_is_the_slowest() {
    build(["0.1", "0.4", "0.8"]);
}
