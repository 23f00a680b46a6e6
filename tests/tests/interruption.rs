//! Builds that do not come to their end: cancelled, abandoned, or cut off.

use std::time::{Duration, Instant};

use slipway_tests::{Daemon, End, Fake, Project, Running, Signal};

/// As long as a cancelled build may take to be gone, on a machine that is busy with other tests.
const PROMPT: Duration = Duration::from_secs(5);

struct Setting {
    daemon: Daemon,
    project: Project,
    _fake: Fake,
}

fn setting() -> Setting {
    let fake = Fake::with_busybox();
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN echo kept > /kept\nRUN --mount=type=cache,target=/cache --mount=type=secret,id=s trap '' TERM INT; echo g''o; sleep 1000\n",
    );
    Setting { daemon: Daemon::start(), project, _fake: fake }
}

impl Setting {
    /// In the middle of its last step.
    fn under_way(&self) -> Running {
        let mut build = self.daemon.build(&self.project).start();
        build.wait_for(" go");
        build
    }

    /// Without the endless step, what was done before counts.
    fn assert_first_step_is_kept(&self) {
        self.project.write("Dockerfile", self.project.read("Dockerfile").replace("sleep 1000", "true"));
        let progress = self.daemon.build(&self.project).succeed().progress();
        assert_eq!(*progress.end("RUN echo kept"), End::Cached);
        assert_eq!(*progress.end("RUN --mount"), End::Done);
    }
}

#[test]
fn an_interrupt_cancels() {
    let it = setting();
    let build = it.under_way();
    let pressed = Instant::now();
    build.signal(Signal::INT);
    let outcome = build.wait().failed(130, &["ERROR:", "cancel"]);
    assert!(pressed.elapsed() < PROMPT, "{}", outcome.told());
    assert_eq!(*outcome.progress().end("RUN --mount"), End::Cancelled, "{}", outcome.told());
    it.daemon.assert_usable();
    it.assert_first_step_is_kept();
}

#[test]
fn a_request_to_terminate_cancels_too() {
    let it = setting();
    let build = it.under_way();
    build.signal(Signal::TERM);
    let outcome = build.wait();
    assert!([130, 143].contains(&outcome.code()), "{}", outcome.told());
    it.daemon.assert_usable();
}

#[test]
fn a_client_that_is_killed_takes_its_build_along() {
    let it = setting();
    let build = it.under_way();
    build.signal(Signal::KILL);
    build.wait();
    it.daemon.assert_usable();
    it.assert_first_step_is_kept();
}

#[test]
fn a_shared_step_goes_on_for_the_other_client() {
    let it = setting();
    it.project.write("Dockerfile", it.project.read("Dockerfile").replace("sleep 1000", "sleep 2"));
    let (one, mut two) = (it.under_way(), it.daemon.build(&it.project).start());
    two.wait_for("RUN --mount");
    one.signal(Signal::INT);
    one.wait().failed(130, &[]);
    two.wait().succeeded();
    it.daemon.assert_usable();
}

#[test]
fn a_daemon_that_is_told_to_end_ends_its_builds() {
    let mut it = setting();
    let build = it.under_way();
    assert!(it.daemon.stop().success());
    let outcome = build.wait().failed(1, &["ERROR:"]);
    assert_eq!(outcome.errors().len(), 1, "{}", outcome.told());
    it.daemon.start_again();
    it.assert_first_step_is_kept();
}

#[test]
fn a_daemon_that_is_killed_leaves_nothing_that_matters() {
    let mut it = setting();
    // What a build that came to its end was told is kept; of the one under way, the last moment may be lost.
    let whole = it.project.read("Dockerfile");
    it.project.write("Dockerfile", whole.lines().take(2).collect::<Vec<_>>().join("\n"));
    it.daemon.build(&it.project).succeed();
    it.project.write("Dockerfile", whole);
    let build = it.under_way();
    it.daemon.kill();
    let outcome = build.wait().failed(1, &["ERROR:"]);
    assert_eq!(outcome.errors().len(), 1, "{}", outcome.told());
    slipway_tests::leftovers::assert_none(&it.daemon.root(), &[]);
    it.daemon.start_again();
    it.daemon.assert_usable();
    it.assert_first_step_is_kept();
    it.daemon.client(&["prune", "--all", "--force"]).succeeded();
    assert!(it.daemon.client(&["du"]).succeeded().stdout().contains("Total:\t\t0B"));
}

#[test]
fn two_equal_builds_at_once_run_each_step_once() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN --mount=type=cache,target=/c sleep 1; echo x >> /c/count; cp /c/count /count\n",
    );
    let outs = [Project::empty(), Project::empty()];
    let builds: Vec<Running> = outs.iter().map(|out| daemon.build(&project).to(out.path()).start()).collect();
    builds.into_iter().for_each(|build| drop(build.wait().succeeded()));
    assert_eq!((outs[0].read("count"), outs[1].read("count")), ("x\n".to_owned(), "x\n".to_owned()));
    daemon.assert_idle();
}

#[test]
fn different_builds_at_once_do_not_disturb_each_other() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let projects: Vec<Project> = (0..6)
        .map(|number| {
            Project::new(
                &fake.busybox(),
                &format!("FROM BUSYBOX\nCOPY n /n\nRUN sleep 0.2; cat /n > /out; exit $(({number} % 2))\n"),
            )
            .file("n", number.to_string())
        })
        .collect();
    let builds: Vec<Running> = projects.iter().map(|project| daemon.build(project).start()).collect();
    for (number, build) in builds.into_iter().enumerate() {
        let outcome = build.wait();
        assert_eq!(outcome.code(), i32::try_from(number % 2).unwrap(), "{}", outcome.told());
    }
    daemon.assert_usable();
}
