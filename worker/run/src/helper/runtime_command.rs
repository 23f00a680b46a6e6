//! The command line of an OCI runtime, waiting for it, and what it means when it fails.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::attempt::failure;
use crate::protocol::{OciRuntime, Report};
use crate::{NotStarted, Status};

/// The beginning of every command: nothing of the daemon's environment, and the runtime's state where it is ours.
pub(crate) fn command(runtime: &OciRuntime) -> Command {
    let mut command = Command::new(&runtime.binary);
    command.env_clear().arg("--root").arg(runtime.state.join("runtime"));
    command
}

/// Why nothing was started, if that is so: a runtime's own errors are in its log, not in its exit code.
pub(super) fn refusal(runtime: &OciRuntime, log: &Path, status: Status) -> Option<Report> {
    if status == Status::Code(0) {
        return None;
    }
    let log = fs::read_to_string(log).unwrap_or_default();
    let entries = log.lines().filter_map(|line| serde_json::from_str::<LogEntry>(line).ok());
    let message = entries.filter(|entry| entry.level == "error").map(|entry| entry.msg).next_back()?;
    Some(match NotStarted::in_words_of_runc(&message) {
        Some(refused) => Report::NotStarted(refused),
        None => {
            let step = format!("start the container with {}", runtime.binary.display());
            Report::Failed(failure(step, message))
        }
    })
}

/// Whether the runtime has ended, and whether the daemon has hung up.
pub(super) fn wait(
    runtime: &OwnedFd,
    daemon: Option<&UnixStream>,
    timeout: Option<&Timespec>,
) -> io::Result<(bool, bool)> {
    let mut watched = vec![PollFd::new(runtime, PollFlags::IN)];
    watched.extend(daemon.map(|daemon| PollFd::from_borrowed_fd(daemon.as_fd(), PollFlags::IN)));
    match poll(&mut watched, timeout) {
        Err(rustix::io::Errno::INTR) => {}
        other => drop(other?),
    }
    let ready = |index: usize| watched.get(index).is_some_and(|fd| !fd.revents().is_empty());
    Ok((ready(0), ready(1)))
}

#[derive(serde::Deserialize)]
struct LogEntry {
    level: String,
    msg: String,
}
