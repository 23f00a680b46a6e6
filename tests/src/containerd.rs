//! Debian's containerd with everything below one folder: root, state, socket, no CRI.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::leftovers;
use crate::process::{Outcome, Running, eventually};

/// Runs until dropped. Shims and mounts that outlive what started them fail the test.
pub struct Containerd {
    folder: TempDir,
    process: Option<Child>,
}

impl Containerd {
    /// `None`, with a word why, where there is none to start.
    pub fn start() -> Option<Self> {
        let missing = ["containerd", "ctr", "runc"].into_iter().find(|name| !crate::command::exists(name));
        if let Some(missing) = missing {
            println!("skipped: {missing} is not installed");
            return None;
        }
        if !crate::command::is_root() {
            println!("skipped: containerd needs root");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("containerd-").tempdir().expect("a temporary folder");
        let mut containerd = Self { folder, process: None };
        containerd.configure();
        containerd.start_again();
        Some(containerd)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self) {
        let path = |name: &str| self.path(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
            path("root"),
            path("state"),
            path("c.sock"),
            path("c.sock.ttrpc"),
            path("opt")
        );
        fs::write(self.path("config.toml"), config).expect("a configuration");
    }

    /// With the same files as before.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "containerd runs");
        let log = File::options().append(true).create(true).open(self.path("log")).expect("a log file");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(self.path("config.toml")).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log file")).stderr(log);
        self.process = Some(command.spawn().expect("containerd starts"));
        let answers = eventually(Duration::from_secs(60), || {
            self.path("c.sock").exists() && self.ctr("default", &["version"]).status.success()
        });
        assert!(answers, "containerd does not answer:\n{}", self.log());
    }

    /// The path of its socket.
    pub fn address(&self) -> String {
        self.path("c.sock").display().to_string()
    }

    /// Where it keeps files.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// `ctr --namespace … ARGUMENTS`: another client.
    pub fn ctr(&self, namespace: &str, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("ctr");
        command.args(["--address", &self.address(), "--namespace", namespace]).args(arguments);
        Running::start(command, None).wait()
    }

    /// What it prints, by lines.
    #[track_caller]
    pub fn ctr_lines(&self, namespace: &str, arguments: &[&str]) -> Vec<String> {
        let outcome = self.ctr(namespace, arguments);
        assert!(outcome.status.success(), "{}: {}", outcome.line, outcome.stderr);
        String::from_utf8_lossy(&outcome.stdout).lines().map(str::to_owned).collect()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Stops answering, without ending, or goes on.
    pub fn pause(&self, paused: bool) {
        let process = Pid::from_child(self.process.as_ref().expect("containerd runs"));
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        kill_process(process, signal).expect("containerd is there");
    }

    /// Shims and mounts of tasks.
    pub fn left(&self) -> Vec<String> {
        let own: Vec<u32> = self.process.iter().map(Child::id).collect();
        let mut left = leftovers::find(self.folder.path(), &own);
        // Our daemons name its socket, too.
        left.retain(|line| !line.contains(" --containerd-worker"));
        left
    }

    /// Fails if a shim or a mount of a task outlives it.
    #[track_caller]
    pub fn assert_idle(&self) {
        let gone = eventually(Duration::from_secs(10), || self.left().is_empty());
        assert!(gone, "left behind by tasks:\n{}", self.left().join("\n"));
    }

    /// Ends whatever is left, by its own processes only: shims, and those whose trees they have mounted, which a shim
    /// that is killed does not take along.
    fn clean(&self) {
        let own = mount_namespace("self");
        for line in self.left() {
            let number = |rest: &str| Some(rest.split([':', ' ']).next()?.to_owned());
            let pid = match line.strip_prefix("mount seen by process ").and_then(number) {
                Some(pid) => {
                    Some(pid).filter(|pid| mount_namespace(pid).is_some_and(|other| Some(other) != own))
                }
                None => line.strip_prefix("process ").and_then(number),
            };
            if let Some(pid) = pid.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        unmount_below(self.folder.path());
    }
}

fn mount_namespace(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/mnt")).ok()
}

fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut places: Vec<_> = places.filter(|place| Path::new(place).starts_with(folder)).collect();
    // The innermost first.
    places.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in places {
        let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let idle = eventually(Duration::from_secs(10), || self.left().is_empty());
        let left = self.left().join("\n");
        if std::thread::panicking() {
            eprintln!("== what containerd said\n{}", self.log());
        }
        self.kill();
        self.clean();
        if !idle {
            match std::thread::panicking() {
                true => eprintln!("== left behind by containerd\n{left}"),
                false => panic!("left behind by containerd:\n{left}"),
            }
        }
    }
}
