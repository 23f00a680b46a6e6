//! Repositories to build from, and servers for them: the host's `git`, with nothing of the user's configuration.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::command::output;
use crate::process::eventually;
use crate::web::{Answer, Asked};

/// A working copy in a folder of its own; commits have fixed names and times.
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    pub fn new() -> Self {
        let repository = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What `git ARGUMENTS` says, without the line break at its end.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        output(command().arg("-C").arg(self.path()).args(arguments)).expect("git").trim_end().to_owned()
    }

    /// Writes files and commits everything; gives the commit.
    #[track_caller]
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            std::fs::write(path, text).expect("a file");
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=files"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// What a plain web server answers for `.git`, below `/NAME.git/`.
    pub fn answer(&self, name: &str, asked: &Asked) -> Answer {
        let path = asked.target.split('?').next().unwrap_or_default();
        let file =
            path.strip_prefix(&format!("/{name}.git/")).map(|path| self.path().join(".git").join(path));
        match file.and_then(|file| std::fs::read(file).ok()) {
            Some(bytes) => Answer::of(200, bytes),
            None => Answer::of(404, "no"),
        }
    }
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

fn command() -> Command {
    let mut command = Command::new("git");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "tests").env(format!("GIT_{who}_EMAIL"), "tests@localhost");
        command.env(format!("GIT_{who}_DATE"), "1714979289 +0000");
    }
    command.args(["-c", "protocol.file.allow=always"]);
    command
}

/// `git daemon`: every repository below a folder, until dropped.
pub struct GitDaemon {
    process: Child,
    port: u16,
}

impl GitDaemon {
    pub fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let mut serve = command();
        serve.args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]);
        serve.arg(format!("--port={port}")).arg(format!("--base-path={}", folder.display())).arg(folder);
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let daemon = Self { process: serve.spawn().expect("git daemon"), port };
        assert!(eventually(Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", port)).is_ok()));
        daemon
    }

    /// `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("git://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for GitDaemon {
    fn drop(&mut self) {
        // git starts the daemon proper as a child.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}
