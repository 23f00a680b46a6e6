//! `slipway build` where no daemon is: it starts one of its own, which ends by itself.

use std::process::Command;
use std::time::Duration;

use slipway_tests::{Build, Fake, Project, Running, Signal, eventually, leftovers, slipway};
use tempfile::TempDir;

/// A state directory that no daemon serves yet. Dropped, its daemon must end by itself.
struct State {
    folder: TempDir,
}

impl State {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn slipway(&self) -> Command {
        let mut command = Command::new(slipway());
        command.env_remove("BUILDKIT_HOST").env_remove("SLIPWAY_RUNTIME").env("HOME", self.folder.path());
        command.env("DOCKER_CONFIG", self.folder.path().join("docker"));
        command.arg("--root").arg(self.folder.path().join("root"));
        command
    }

    fn build(&self, project: &Project) -> Build {
        Build::new(self.slipway(), project.path())
    }

    /// Its daemon, once there is one.
    fn daemon(&self) -> u32 {
        let mut pid = None;
        let found = eventually(Duration::from_secs(10), || {
            let lines = leftovers::find(self.folder.path(), &[]);
            pid = lines.iter().find_map(|line| {
                let (pid, command) = line.strip_prefix("process ")?.split_once(": ")?;
                command.contains("--exit-when-idle").then(|| pid.parse().ok())?
            });
            pid.is_some()
        });
        assert!(found, "no daemon was started");
        pid.expect("it was found")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("root/daemon.log")).unwrap_or_default()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let gone =
            eventually(Duration::from_secs(10), || leftovers::find(self.folder.path(), &[]).is_empty());
        if gone {
            return;
        }
        let left = leftovers::find(self.folder.path(), &[]);
        for line in &left {
            if let Some((pid, _)) = line.strip_prefix("process ").and_then(|line| line.split_once(':')) {
                let _ = Command::new("kill").args(["-9", pid]).status();
            }
        }
        assert!(std::thread::panicking(), "left behind:\n{}\n{}", left.join("\n"), self.log());
    }
}

fn project(fake: &Fake, step: &str) -> Project {
    Project::new(&fake.busybox(), &format!("FROM BUSYBOX\nRUN {step}\n"))
}

#[test]
fn it_starts_one_that_ends_by_itself() {
    let (state, fake) = (State::new(), Fake::with_busybox());
    let project = project(&fake, "echo x > /x");
    assert_eq!(state.build(&project).succeed().progress().ran().len(), 1);
    assert!(eventually(Duration::from_secs(10), || leftovers::find(state.folder.path(), &[]).is_empty()));
    assert_eq!(state.build(&project).succeed().progress().cached().len(), 1, "the cache outlives the daemon");
}

#[test]
fn two_builds_at_once_share_one() {
    let (state, fake) = (State::new(), Fake::with_busybox());
    let (one, two) = (project(&fake, "sleep 0.2; echo 1 > /x"), project(&fake, "sleep 0.2; echo 2 > /x"));
    let running: Vec<Running> = [&one, &two, &one, &two].map(|project| state.build(project).start()).into();
    running.into_iter().for_each(|build| drop(build.wait().succeeded()));
}

#[test]
fn a_new_build_finds_a_daemon_even_while_the_last_one_ends() {
    let (state, fake) = (State::new(), Fake::with_busybox());
    let project = project(&fake, "true");
    // Around the moment at which an idle daemon ends.
    for pause in [0, 1900, 1990, 2010, 2100] {
        std::thread::sleep(Duration::from_millis(pause));
        state.build(&project).succeed();
    }
}

#[test]
fn du_and_prune_work_without_a_daemon() {
    let (state, fake) = (State::new(), Fake::with_busybox());
    state.build(&project(&fake, "echo x > /x")).succeed();
    let run = |arguments: &[&str]| {
        let mut command = state.slipway();
        command.args(arguments);
        Running::start(command, None).wait().succeeded().stdout()
    };
    assert!(run(&["du"]).contains("echo x"), "{}", run(&["du", "-v"]));
    run(&["prune", "--all", "--force"]);
    assert!(run(&["du"]).contains("Total:\t\t0B"));
}

#[test]
fn kill_9_in_mid_build_costs_that_build_only() {
    let (state, fake) = (State::new(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN echo first > /x\nRUN --mount=type=cache,target=/c echo go; sleep 1000\n",
    );
    let mut build = state.build(&project).start();
    build.wait_for(" go");
    let daemon = state.daemon();
    Command::new("kill").args(["-9", &daemon.to_string()]).status().expect("kill runs");
    let outcome = build.wait();
    assert_eq!(outcome.code(), 1, "{}", outcome.told());
    leftovers::assert_none(state.folder.path(), &[]);

    project.write("Dockerfile", project.read("Dockerfile").replace("sleep 1000", "true"));
    let again = state.build(&project).succeed().progress();
    assert_eq!(*again.end("RUN --mount"), slipway_tests::End::Done);
}

#[test]
fn an_interrupted_build_does_not_keep_the_daemon() {
    let (state, fake) = (State::new(), Fake::with_busybox());
    let project = project(&fake, "echo go; sleep 1000");
    let mut build = state.build(&project).start();
    build.wait_for(" go");
    build.signal(Signal::INT);
    build.wait().failed(130, &[]);
}
