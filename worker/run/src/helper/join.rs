//! One more process in a container that runs.
//!
//! The helper enters the container's process namespace only with a child, and that child the others: the helper
//! itself stays outside, where the tree of the container is reached through `/proc/PID/root`.
//!
//! The child is seen by processes of the container before it has become the command. It is a copy of this
//! binary, so it must not be touched: it cannot be dumped, which closes its `/proc` entry and `ptrace` to
//! everybody without `CAP_SYS_PTRACE` on the host.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::attempt::{Attempt, Doing};
use super::command::{self, Command};
use super::in_root::{self, Make};
use super::{supervise, user};
use crate::cgroup::Groups;
use crate::protocol::{Joined, Order, Report};

pub(super) fn run(
    order: &Order,
    container: &Joined,
    process: &OwnedFd,
    filter: &[u8],
    daemon: &UnixStream,
) -> Attempt<Report> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let root = root_of(process).doing("open the root of the container")?;
    let user = user::resolve(&root, &order.spec.user)?;
    let home = user::home(&root, user.uid);
    let cwd = order.spec.cwd();
    in_root::make_owned(&root, cwd, Make::Directory, Some((user.uid, user.gid)))
        .doing(format!("create working directory {cwd:?}"))?;
    let groups = Groups::of_running(&order.cgroup_parent, &container.id)?;
    let (report, report_of_child) = UnixStream::pair().doing("make a socket pair")?;
    hide().doing("hide the process from the container")?;
    enter_processes(process).doing("enter the container")?;
    let child = supervise::clone(0, &groups).doing("start a process in the container")?;
    let Some(child) = child else {
        drop(report);
        let command = Command { order, filter, user: &user, home: &home };
        command.become_after(report_of_child, || {
            groups.enter_processes()?;
            enter_all(process).doing("enter the container")?;
            command::lead_a_session(order.spec.terminal)
        })
    };
    drop(report_of_child);
    supervise::accompany(&child, &report, daemon, &groups)
}

/// The tree as the container sees it. The number of a process may come to mean another one, so it is made sure
/// afterwards that the one meant was still there.
pub(super) fn root_of(process: &OwnedFd) -> io::Result<OwnedFd> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<u32>().ok());
    let gone = || io::Error::new(io::ErrorKind::NotFound, "the container has ended");
    let path = format!("/proc/{}/root", pid.ok_or_else(gone)?);
    let root =
        rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|_| gone())?;
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now))? {
        0 => Ok(root),
        _ => Err(gone()),
    }
}

fn hide() -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// For children: the process itself stays where it is.
fn enter_processes(process: &OwnedFd) -> io::Result<()> {
    Ok(move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::PROCESS_ID)?)
}

/// Also moves the root and the working directory to the container's.
fn enter_all(process: &OwnedFd) -> io::Result<()> {
    let all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    Ok(move_into_thread_name_spaces(process.as_fd(), all)?)
}
