//! A step that fails: its exit code, its output, its lines; and the builds around it.

use std::time::Duration;

use slipway_tests::{Daemon, End, Fake, Project};

#[test]
fn code_output_and_lines_are_shown() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project =
        Project::new(&fake.busybox(), "FROM BUSYBOX\n\nRUN echo all is lost \\\n  && exit 42\n\nRUN true\n");
    let outcome = daemon.build(&project).run().failed(
        1,
        &["all is lost", "exit code: 42", "Dockerfile:3", ">>> RUN echo all is lost", ">>>   && exit 42"],
    );
    assert_eq!(outcome.errors().len(), 1, "{}", outcome.told());
    assert!(matches!(outcome.progress().end("RUN echo all"), End::Error(reason) if reason.contains("42")));
    daemon.assert_usable();
}

#[test]
fn it_is_tried_again_and_what_went_before_is_kept() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project =
        Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo good > /x\nARG PASS=false\nRUN $PASS\n");
    for _ in 0..2 {
        daemon.build(&project).run().failed(1, &["exit code: 1"]);
    }
    let progress = daemon.build(&project).args(["--build-arg", "PASS=true"]).succeed().progress();
    assert_eq!(*progress.end("RUN echo good"), End::Cached);
}

#[test]
fn others_of_the_same_build_are_stopped() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX AS slow\nRUN sleep 1000\nFROM BUSYBOX AS bad\nRUN sleep 0.3; exit 5\nFROM scratch\nCOPY --from=slow / /\nCOPY --from=bad / /\n",
    );
    let outcome = daemon.build(&project).run().failed(1, &["exit code: 5"]);
    assert!(outcome.took < Duration::from_secs(20), "{}", outcome.told());
    daemon.assert_usable();
}

#[test]
fn a_program_that_is_not_there() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN no-such-program\n");
    daemon.build(&project).run().failed(1, &["exit code: 127", "no-such-program"]);
    project.write("Dockerfile", format!("FROM {}\nRUN [\"/no/such/program\"]\n", fake.busybox()));
    daemon.build(&project).run().failed(1, &["/no/such/program", "Dockerfile:2"]);
    project.write("Dockerfile", "FROM scratch\nRUN true\n");
    daemon.build(&project).run().failed(1, &["/bin/sh", "Dockerfile:2"]);
    daemon.assert_usable();
}

#[test]
fn a_signal_that_ends_it() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN sh -c 'kill -9 $$'; exit $?\n");
    daemon.build(&project).run().failed(1, &["137", "Dockerfile:2"]);
    daemon.assert_usable();
}

#[test]
fn what_it_left_running_is_ended() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN sleep 1000 & echo started\nRUN setsid sleep 1000 >/dev/null 2>&1 & true\n",
    );
    let outcome = daemon.build(&project).succeed();
    assert!(outcome.took < Duration::from_secs(20), "{}", outcome.told());
    daemon.assert_usable();
}
