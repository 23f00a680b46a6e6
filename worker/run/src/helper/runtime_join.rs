//! One more process in a container that an OCI runtime runs, by the runtime's `exec`.
//!
//! The runtime knows the container's first process by its number only, and a number may come to mean another
//! process. It is believed when the runtime says the same before and after the process has been opened: it
//! remembers when the process began.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::attempt::{Attempt, Doing};
use super::bundle::Bundle;
use super::in_root::{self, Make};
use super::{join, runtime_command, runtime_config, supervise, tree, user};
use crate::Exit;
use crate::cgroup::Groups;
use crate::protocol::{self, Joined, OciRuntime, Order, Report};

pub(super) fn run(
    order: &Order,
    container: &Joined,
    runtime: &OciRuntime,
    daemon: &UnixStream,
) -> Attempt<Report> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let first = first_process(runtime, &container.id).doing("find the container")?;
    let root = join::root_of(&first).doing("open the root of the container")?;
    let user = user::resolve(&root, &order.spec.user)?;
    let home = user::home(&root, user.uid);
    let cwd = order.spec.cwd();
    in_root::make_owned(&root, cwd, Make::Directory, Some((user.uid, user.gid)))
        .doing(format!("create working directory {cwd:?}"))?;
    // Variables may be secrets: they are written to memory.
    tree::enter_own_namespace().doing("make room for the runtime's files")?;
    let files = Bundle::make(&runtime.state, &order.spec.id).doing("make room for the runtime's files")?;
    Bundle::stand_in(&runtime.state, &container.id).doing("make room for the runtime's files")?;
    let process = serde_json::to_vec(&runtime_config::process(order, &user, &home))
        .doing("write the runtime's configuration")?;
    fs::write(files.path.join("process.json"), process).doing("write the runtime's configuration")?;
    execute(runtime, &container.id, &files.path, daemon)?.finish(order, container)
}

/// How the runtime's command has ended.
struct Ended {
    refused: Option<Report>,
    exit: (crate::Status, crate::Usage),
}

impl Ended {
    fn finish(self, order: &Order, container: &Joined) -> Attempt<Report> {
        if let Some(refused) = self.refused {
            return Ok(refused);
        }
        let cgroup = Groups::path_for_runtime(&order.cgroup_parent, &container.id)?;
        let out_of_memory = Groups::of_runtime(&cgroup).out_of_memory();
        let (status, usage) = self.exit;
        Ok(Report::Exited(Exit { status, out_of_memory, usage }))
    }
}

fn execute(runtime: &OciRuntime, id: &str, files: &Path, daemon: &UnixStream) -> Attempt<Ended> {
    let (log, number) = (files.join("log.json"), files.join("pid"));
    let mut command = runtime_command::command(runtime);
    command.arg("--log").arg(&log).args(["--log-format", "json", "exec", "--process"]);
    command.arg(files.join("process.json")).arg("--pid-file").arg(&number).arg(id);
    let child = command.spawn().doing(format!("start {}", runtime.binary.display()))?;
    let watched = open_process(child.id()).doing("watch the runtime")?;
    let process = started(&child, &watched, &number, daemon).doing("watch the runtime")?;
    if let Some(process) = &process {
        // A daemon that has gone is noticed by the first poll.
        let _ = protocol::write_message(&mut &*daemon, &Report::Started)
            .and_then(|()| protocol::send_descriptor(daemon, process.as_fd()));
        accompany(process, &watched, daemon).doing("watch the process")?;
    }
    let pid = libc::pid_t::try_from(child.id()).doing("wait for the runtime")?;
    let exit = supervise::wait(pid).doing("wait for the runtime")?;
    // The runtime may have ended by force, and not have taken it along.
    if let Some(process) = &process {
        kill(process).doing("kill the process")?;
    }
    Ok(Ended { refused: runtime_command::refusal(runtime, &log, exit.0), exit })
}

/// How often it is looked whether a runtime has come to something.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The process, once it runs; none if the runtime ends before, or the daemon has gone.
fn started(
    runtime: &Child,
    watched: &OwnedFd,
    number: &Path,
    daemon: &UnixStream,
) -> io::Result<Option<OwnedFd>> {
    loop {
        let (has_ended, is_alone) = runtime_command::wait(watched, Some(daemon), Some(&PAUSE))?;
        let pid = fs::read_to_string(number).ok().and_then(|text| text.trim().parse::<u32>().ok());
        if let Some(process) = pid.and_then(|pid| open_process(pid).ok())
            && pid.is_some_and(|pid| is_child(pid, runtime.id()))
        {
            return Ok(Some(process));
        }
        if is_alone && !has_ended {
            kill(watched)?;
        }
        if has_ended {
            return Ok(None);
        }
    }
}

/// Until the runtime has ended; from the daemon's hanging up on, the process is killed.
fn accompany(process: &OwnedFd, runtime: &OwnedFd, daemon: &UnixStream) -> io::Result<()> {
    let mut daemon = Some(daemon);
    loop {
        let (has_ended, is_alone) = runtime_command::wait(runtime, daemon, None)?;
        if has_ended {
            return Ok(());
        }
        if is_alone {
            daemon = None;
            kill(process)?;
        }
    }
}

fn first_process(runtime: &OciRuntime, id: &str) -> io::Result<OwnedFd> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match state(runtime, id)? {
            Some(pid) => {
                let process = open_process(pid)?;
                if state(runtime, id)? == Some(pid) {
                    return Ok(process);
                }
            }
            // It has been asked to run it, and is about to.
            None if std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            None => return Err(io::Error::new(io::ErrorKind::NotFound, "the container does not run")),
        }
    }
}

/// For a runtime to make a container.
const PATIENCE: Duration = Duration::from_secs(10);

/// The number of the first process, while the container runs.
fn state(runtime: &OciRuntime, id: &str) -> io::Result<Option<u32>> {
    let output = runtime_command::command(runtime)
        .args(["state", id])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let state = serde_json::from_slice::<State>(&output.stdout).ok();
    Ok(state.filter(|state| state.status == "running").map(|state| state.pid))
}

/// Of the OCI runtime specification.
#[derive(serde::Deserialize)]
struct State {
    status: String,
    #[serde(default)]
    pid: u32,
}

fn open_process(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn is_child(pid: u32, parent: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    found == Some(parent)
}

fn kill(process: &OwnedFd) -> io::Result<()> {
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
