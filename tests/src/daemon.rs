//! One daemon with a state directory and a socket of its own.
//!
//! With `SLIPWAY_TEST_WORKER=containerd` every daemon gets a containerd of its own to work on, unless the test has chosen
//! its worker: so any test can be run on either.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::build::Build;
use crate::containerd::Containerd;
use crate::leftovers;
use crate::process::{Outcome, Running, eventually};
use crate::project::Project;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// What a daemon is started with, beyond its root and its socket.
#[derive(Clone, Debug, Default)]
pub struct DaemonOptions {
    pub arguments: Vec<String>,
    /// A command that ends in executing its arguments; `{root}` is filled in.
    pub wrapper: Vec<String>,
}

impl DaemonOptions {
    pub fn arguments(arguments: &[&str]) -> Self {
        Self {
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            ..Self::default()
        }
    }
}

impl DaemonOptions {
    fn wants_containerd(&self) -> bool {
        let chosen = self.arguments.iter().any(|argument| argument.contains("containerd"));
        !chosen && std::env::var("SLIPWAY_TEST_WORKER").is_ok_and(|worker| worker == "containerd")
    }
}

/// Dropped, it is asked to end; whatever of it is left then fails the test.
pub struct Daemon {
    folder: TempDir,
    options: DaemonOptions,
    process: Option<Child>,
    /// What it works on, if that is asked for; ends after it.
    containerd: Option<Containerd>,
}

impl Daemon {
    pub fn start() -> Self {
        Self::start_with(DaemonOptions::default())
    }

    pub fn start_with(options: DaemonOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("home")).expect("a folder");
        let containerd = options.wants_containerd().then(Containerd::start).flatten();
        let mut daemon = Self { folder, options, process: None, containerd };
        daemon.start_again();
        daemon
    }

    /// With the same root and options as before.
    pub fn start_again(&mut self) {
        assert!(self.try_start(&[]), "the daemon does not answer:\n{}", self.log());
    }

    /// With more in its environment; whether it answers, or has ended before it did.
    pub fn try_start(&mut self, environment: &[(&str, &str)]) -> bool {
        assert!(self.process.is_none(), "the daemon runs");
        // That of a daemon that was killed tells nothing of this one.
        let _ = fs::remove_file(self.socket());
        let log = File::options().append(true).create(true).open(self.log_path()).expect("a log file");
        let mut command = self.command();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        self.process = Some(command.spawn().expect("the daemon starts"));
        let answers = eventually(START, || {
            let ended =
                self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(Some(_))));
            ended || (self.socket().exists() && self.info().status.success())
        });
        assert!(answers, "the daemon does not answer:\n{}", self.log());
        !self.has_ended()
    }

    /// Whether it has ended by itself, or was never there.
    pub fn has_ended(&mut self) -> bool {
        if self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(Some(_)))) {
            self.process = None;
        }
        self.process.is_none()
    }

    /// `slipway --root … ARGUMENTS`: a command about the files of a daemon that does not run.
    pub fn about_root(&self, arguments: &[&str]) -> Outcome {
        let mut command = client(&self.folder.path().join("home"));
        command.arg("--root").arg(self.root()).args(arguments);
        Running::start(command, None).wait()
    }

    fn command(&self) -> Command {
        let root = self.root().display().to_string();
        let wrapper = self.options.wrapper.iter().map(|word| word.replace("{root}", &root));
        let slipway = crate::slipway().display().to_string();
        let mut words = wrapper.chain([slipway]);
        let mut command = Command::new(words.next().expect("at least the binary"));
        command.args(words).args(["--root", &root, "daemon", "--listen", &self.address()]);
        command.args(&self.options.arguments);
        if let Some(containerd) = &self.containerd {
            command.args(["--containerd-worker=true", "--containerd-worker-addr", &containerd.address()]);
            let native = self.options.arguments.iter().any(|argument| argument == "native");
            command.args(["--containerd-worker-snapshotter", if native { "native" } else { "overlayfs" }]);
        }
        command
    }

    /// `slipway --addr …`: a client that knows nothing of the user's own configuration.
    pub fn slipway(&self) -> Command {
        let mut command = client(&self.folder.path().join("home"));
        command.args(["--addr", &self.address()]);
        command
    }

    pub fn build(&self, project: &Project) -> Build {
        Build::new(self.slipway(), project.path())
    }

    /// Runs `slipway --addr … ARGUMENTS`.
    pub fn client(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.slipway();
        command.args(arguments);
        Running::start(command, None).wait()
    }

    pub fn info(&self) -> Outcome {
        self.client(&["debug", "info"])
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    /// The state directory.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// What the daemon has said, all lives together.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the daemon runs").id()
    }

    /// Nothing but the daemon itself is running or mounted.
    #[track_caller]
    pub fn assert_idle(&self) {
        leftovers::assert_none(self.folder.path(), &[self.pid()]);
    }

    /// It still answers, with nothing left of what went before.
    #[track_caller]
    pub fn assert_usable(&self) {
        self.info().succeeded();
        self.assert_idle();
    }

    /// Asks it to end and waits for that.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut process = self.process.take().expect("the daemon runs");
        if !eventually(STOP, || matches!(process.try_wait(), Ok(Some(_)))) {
            let _ = process.kill();
            let _ = process.wait();
            panic!("the daemon did not end within {} s:\n{}", STOP.as_secs(), self.log());
        }
        process.wait().expect("it has ended")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.process.take().expect("the daemon runs").wait();
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_child(self.process.as_ref().expect("the daemon runs"));
        kill_process(process, signal).expect("the daemon is there");
    }

    fn end(&mut self) -> Result<(), String> {
        if let Some(mut process) = self.process.take() {
            let _ = kill_process(Pid::from_child(&process), Signal::TERM);
            if !eventually(STOP, || matches!(process.try_wait(), Ok(Some(_)))) {
                let _ = process.kill();
                let _ = process.wait();
                return Err(format!("the daemon did not end within {} s", STOP.as_secs()));
            }
        }
        leftovers::none(self.folder.path(), &[])
    }
}

/// `slipway` with `home` as the user's home and nothing else of the environment that would matter.
pub(crate) fn client(home: &Path) -> Command {
    let mut command = Command::new(crate::slipway());
    command.env("HOME", home).env("DOCKER_CONFIG", home.join(".docker"));
    for variable in ["BUILDKIT_HOST", "BUILDKIT_PROGRESS", "SLIPWAY_ROOT", "SLIPWAY_RUNTIME", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let ended = self.end();
        if std::thread::panicking() {
            eprintln!("== what the daemon said\n{}", self.log());
        }
        match ended {
            Err(left) if std::thread::panicking() => eprintln!("== left behind\n{left}"),
            Err(left) => panic!("left behind by the daemon:\n{left}\n{}", self.log()),
            Ok(()) => {}
        }
    }
}
