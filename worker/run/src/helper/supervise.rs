//! The helper's part after the clone: watch the step and the daemon, kill when told, count, clean up.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::attempt::{Attempt, Doing};
use super::container::Container;
use super::prepare::prepare;
use crate::cgroup::Groups;
use crate::protocol::{self, Failure, Order, Report};
use crate::{Exit, Network, Status, Usage};

/// Runs an order with the built-in runtime. The daemon hears of the start at once, of the rest by the answer.
pub(super) fn run(order: &Order, filter: &[u8], daemon: &UnixStream) -> Attempt<Report> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let prepared = prepare(order)?;
    let groups = Groups::create(&order.cgroup_parent, &order.spec.id, &order.spec.resources)?;
    let (report, report_of_child) = UnixStream::pair().doing("make a socket pair")?;
    let child = start(order.spec.network, &groups).doing("create the step's namespaces")?;
    let Some(child) = child else {
        drop(report);
        Container { order, prepared: &prepared, filter, groups: &groups }.become_command(report_of_child)
    };
    drop(report_of_child);
    let report = accompany(&child, &report, daemon, &groups);
    if !prepared.stubs.is_empty() {
        prepared.stubs.remove(&prepared.root);
    }
    drop(prepared);
    groups.remove();
    report
}

/// A process that was cloned, as its parent sees it.
pub(super) struct Child {
    pid: libc::pid_t,
    pidfd: OwnedFd,
}

/// Of `linux/sched.h`; wider than the C library's type for flags.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into new namespaces; none is what the child gets.
fn start(network: Network, groups: &Groups) -> io::Result<Option<Child>> {
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    if network == Network::None {
        flags |= libc::CLONE_NEWNET;
    }
    clone(flags, groups)
}

/// Forks, with `CLONE_NEW…` flags and into a control group; none is what the child gets.
pub(super) fn clone(flags: i32, groups: &Groups) -> io::Result<Option<Child>> {
    let mut pidfd = -1;
    // SAFETY: all zeroes is a valid `clone_args`.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags as u64 | libc::CLONE_PIDFD as u64;
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    let directory = groups.directory()?;
    if let Some(directory) = &directory {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = std::os::fd::AsRawFd::as_raw_fd(directory) as u64;
    }
    // SAFETY: without a stack of its own the child is a copy of this single-threaded process, as with fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &arguments, size_of::<libc::clone_args>()) };
    match pid {
        0 => Ok(None),
        pid if pid > 0 => {
            // SAFETY: the kernel has just made it, for us alone.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Some(Child { pid: pid as libc::pid_t, pidfd }))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// From the clone to the end of every process of the step.
pub(super) fn accompany(
    child: &Child,
    report: &UnixStream,
    daemon: &UnixStream,
    groups: &Groups,
) -> Attempt<Report> {
    let_go_of_streams().doing("let go of the step's streams")?;
    let mut refused = None;
    let mut starting = true;
    let mut killed = false;
    loop {
        let mut watched = vec![PollFd::new(&child.pidfd, PollFlags::IN)];
        if !killed {
            watched.push(PollFd::new(daemon, PollFlags::IN));
        }
        if starting {
            watched.push(PollFd::from_borrowed_fd(report.as_fd(), PollFlags::IN));
        }
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.map(drop).doing("watch the step")?,
        }
        let ready = |index: usize| watched.get(index).is_some_and(|fd| !fd.revents().is_empty());
        if starting && ready(watched.len() - 1) {
            starting = false;
            // The end of the file means that `execve` has closed it, or that the child has died.
            refused = protocol::read_message::<Report>(&mut &*report).doing("hear of the step")?;
            if refused.is_none() {
                // A daemon that has gone is noticed by the next poll.
                let _ = protocol::write_message(&mut &*daemon, &Report::Started)
                    .and_then(|()| protocol::send_descriptor(daemon, child.pidfd.as_fd()));
            }
            continue;
        }
        if ready(0) {
            break;
        }
        if !killed && ready(1) {
            killed = true;
            kill(child)?;
        }
    }
    let (status, usage) = wait(child.pid).doing("wait for the step")?;
    Ok(refused
        .unwrap_or_else(|| Report::Exited(Exit { status, out_of_memory: groups.out_of_memory(), usage })))
}

/// The standard streams are the process's alone: who reads them is to see their end when it closes them.
fn let_go_of_streams() -> io::Result<()> {
    let nothing = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(rustix::stdio::dup2_stderr(&nothing)?)
}

/// The kernel kills the rest of the namespace when its process 1 dies.
fn kill(child: &Child) -> Result<(), Failure> {
    match pidfd_send_signal(&child.pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).doing("kill the step"),
    }
}

/// Reaps a child. Process 1 of a namespace can be reaped once all others of it are gone.
pub(super) fn wait(pid: libc::pid_t) -> io::Result<(Status, Usage)> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid `rusage`.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both structures outlive the call.
        if unsafe { libc::wait4(pid, &mut status, 0, &mut used) } >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let status = if libc::WIFSIGNALED(status) {
        Status::Signal(libc::WTERMSIG(status))
    } else {
        Status::Code(libc::WEXITSTATUS(status))
    };
    Ok((status, usage(&used)))
}

fn usage(used: &libc::rusage) -> Usage {
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.try_into().unwrap_or_default())
            + Duration::from_micros(time.tv_usec.try_into().unwrap_or_default())
    };
    let kibibytes = u64::try_from(used.ru_maxrss).unwrap_or_default();
    Usage { user: time(used.ru_utime), system: time(used.ru_stime), peak_memory: kibibytes * 1024 }
}
