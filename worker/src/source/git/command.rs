//! Running the host's `git`.
//!
//! Nothing of the host's configuration and little of the daemon's environment is seen by it: the search path, which
//! it needs to find its own parts, and proxies. Everything else is set here, through the environment, so that it holds
//! in submodules, too.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::access::Access;
use crate::{Error, Result};

/// Of what git answers; `ls-remote` of a name that thousands of branches end in is larger than anybody means.
const LARGEST_ANSWER: u64 = 8 << 20;
/// Of what it complains.
const LARGEST_COMPLAINT: u64 = 64 << 10;

/// Configuration that holds for every run.
const CONFIG: [(&str, &str); 12] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.logAllRefUpdates", "false"),
    ("credential.helper", ""),
    ("init.defaultBranch", "master"),
    ("init.templateDir", ""),
    ("advice.detachedHead", "false"),
    // Tidying up happens before the command returns: nothing runs on behind our back.
    ("gc.autoDetach", "false"),
    ("maintenance.autoDetach", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("safe.directory", "*"),
];

const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

const REMOTE_PROTOCOLS: &str = "http:https:ssh:git";

pub(super) struct Git {
    access: Access,
    remote: String,
    /// The remote is a file of this host that is ours.
    is_ours: bool,
}

/// What a run is about.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'a> {
    pub(super) git_dir: Option<&'a Path>,
    pub(super) work_tree: Option<&'a Path>,
}

/// What a run may reach.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing but its own repository.
    Here,
    /// Another repository of this host that is ours.
    Ours,
    /// The remote, under the name `origin`.
    Origin,
    /// Wherever the configuration of its repository leads: submodules.
    Network,
}

impl Git {
    pub(super) fn new(access: Access, remote: &str) -> Self {
        Self { access, remote: remote.to_owned(), is_ours: false }
    }

    /// With a bundle in place of a remote.
    pub(super) fn of_bundle(path: &Path) -> Self {
        Self { access: Access::default(), remote: path.to_string_lossy().into_owned(), is_ours: true }
    }

    pub(super) fn remote(&self) -> &str {
        &self.remote
    }

    /// What it answers; if it fails, the error holds what it complained, without secrets.
    pub(super) async fn run(&self, reach: Reach, place: Place<'_>, arguments: &[&str]) -> Result<String> {
        let answer = self.run_for_bytes(reach, place, arguments).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The same for what need not be a text.
    pub(super) async fn run_for_bytes(
        &self,
        reach: Reach,
        place: Place<'_>,
        arguments: &[&str],
    ) -> Result<Vec<u8>> {
        let mut command = Command::new("git");
        if let Some(work_tree) = place.work_tree {
            command.arg("--work-tree").arg(work_tree);
        }
        if let Some(git_dir) = place.git_dir {
            command.arg("--git-dir").arg(git_dir);
        }
        command.args(arguments).current_dir(place.work_tree.or(place.git_dir).unwrap_or(Path::new("/")));
        command.env_clear().envs(self.environment(reach));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        // SAFETY: between fork and exec only `umask` is called, which is a plain system call.
        unsafe {
            command.pre_exec(|| {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
                Ok(())
            });
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::Failed("git sources need the program git, which is not installed on this host".into())
            }
            _ => Error::io("cannot run git", error),
        })?;
        let group = Group::of(&child);
        let (answer, complaint) = (child.stdout.take(), child.stderr.take());
        let (answer, complaint, ended) =
            tokio::join!(read(answer, LARGEST_ANSWER), read(complaint, LARGEST_COMPLAINT), child.wait());
        std::mem::forget(group);
        let ended = ended.map_err(|error| Error::io("cannot wait for git", error))?;
        if ended.success() {
            return Ok(answer);
        }
        let complaint = String::from_utf8_lossy(&complaint);
        Err(Error::Failed(format!("git stderr:\n{}", self.without_secrets(complaint.trim_end()))))
    }

    /// Whether it ended well.
    pub(super) async fn succeeds(&self, place: Place<'_>, arguments: &[&str]) -> bool {
        self.run(Reach::Here, place, arguments).await.is_ok()
    }

    fn environment(&self, reach: Reach) -> Vec<(String, OsString)> {
        let mut environment: Vec<(String, OsString)> = Vec::new();
        let mut set = |name: &str, value: OsString| environment.push((name.to_owned(), value));
        for name in ["PATH"].into_iter().chain(PROXIES) {
            if let Some(value) = std::env::var_os(name) {
                set(name, value);
            }
        }
        let protocols = match reach {
            Reach::Here => "",
            Reach::Ours => "file",
            Reach::Origin if self.is_ours => "file",
            Reach::Origin | Reach::Network => REMOTE_PROTOCOLS,
        };
        for (name, value) in [
            ("LC_ALL", "C"),
            ("HOME", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "true"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_ALLOW_PROTOCOL", protocols),
        ] {
            set(name, value.into());
        }
        let mut config: Vec<(&str, &str)> = CONFIG.to_vec();
        if matches!(reach, Reach::Origin | Reach::Network) {
            config.extend(self.access.config.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            set("GIT_SSH_COMMAND", self.ssh_command().into());
            if let Some(agent) = &self.access.agent {
                set("SSH_AUTH_SOCK", agent.path().into());
            }
        }
        if reach == Reach::Origin {
            config.push(("remote.origin.url", &self.remote));
        }
        set("GIT_CONFIG_COUNT", config.len().to_string().into());
        for (index, (key, value)) in config.into_iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{index}"), key.into());
            set(&format!("GIT_CONFIG_VALUE_{index}"), value.into());
        }
        environment
    }

    /// Without known hosts every host is believed, as the reference does; keys of this host's users are never tried.
    fn ssh_command(&self) -> String {
        let known = match &self.access.known_hosts {
            Some(file) => {
                format!("-o StrictHostKeyChecking=yes -o UserKnownHostsFile='{}'", file.0.display())
            }
            None => "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null".into(),
        };
        format!(
            "ssh -F /dev/null -o BatchMode=yes -o LogLevel=ERROR -o IdentityFile=/dev/null \
             -o GlobalKnownHostsFile=/dev/null {known}"
        )
    }

    fn without_secrets(&self, text: &str) -> String {
        let mut secrets: Vec<&String> =
            self.access.secrets.iter().filter(|secret| !secret.is_empty()).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "xxxxx"))
    }
}

/// Reads to the end and keeps what is below `limit`.
async fn read(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut kept = Vec::new();
    // A pipe that breaks has ended.
    let _ = (&mut stream).take(limit).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    kept
}

/// All processes of a run that is given up: git leaves the talking to children of its own.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended by itself.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
