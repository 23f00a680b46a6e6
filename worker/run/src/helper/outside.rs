//! A step that somebody else runs: mount what it needs where all of the host sees it, wait, clean up after it.
//!
//! A runtime that a service starts does not live in our mount namespace, so here, and only here, a step's mounts are
//! the host's for as long as it runs: below one directory, which is covered by memory. They go with the helper's
//! last act. A helper that is killed leaves them; the next start of the daemon takes them away
//! ([`crate::OutsideExecutor::new`]).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::attempt::{Attempt, Doing};
use super::bundle::Bundle;
use super::prepare::prepare;
use super::runtime_config;
use crate::cgroup::Groups;
use crate::protocol::{self, Order, Outside, Report, Word};

pub(super) fn run(order: &Order, place: &Outside, mut daemon: &UnixStream) -> Attempt<Report> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let prepared = prepare(order)?;
    let cgroup = Groups::path_for_runtime(&order.cgroup_parent, &order.spec.id)?;
    let bundle = Bundle::make(&place.state, &order.spec.id).doing("make the bundle")?;
    let sources = bundle.mount(&prepared)?;
    let config = runtime_config::config(order, &prepared, &bundle.rootfs(), &sources, &cgroup);
    let id = order.spec.id.clone();
    let told = Report::Prepared(crate::Bundle { id, config: config.to_string(), cgroup });
    // A daemon that has gone is noticed at once.
    let _ = protocol::write_message(&mut daemon, &told);
    let ended = accompany(daemon).doing("accompany the container");
    if !prepared.stubs.is_empty() {
        prepared.stubs.remove(&prepared.root);
    }
    drop(prepared);
    drop(bundle);
    ended.map(|()| Report::Cleaned)
}

/// Until the daemon says that the container has ended; if it has gone instead, the container is to go, too.
fn accompany(mut daemon: &UnixStream) -> io::Result<()> {
    let mut first = None;
    loop {
        match protocol::read_message(&mut daemon) {
            Ok(Some(Word::Started(pid))) => first = open(pid)?,
            Ok(Some(Word::Ended)) => return Ok(()),
            Ok(None) | Err(_) => return first.map_or(Ok(()), kill),
        }
    }
}

/// One that has ended already needs nobody.
fn open(pid: i32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// The kernel kills the rest of the container when its first process dies.
fn kill(process: OwnedFd) -> io::Result<()> {
    match pidfd_send_signal(&process, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        sent => sent?,
    }
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&process, PollFlags::IN)], None))?;
    Ok(())
}
