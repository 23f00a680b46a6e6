//! The daemon's side of a step: start the helper, hand it the order, wait for its last word.
//!
//! The helper is spawned with `posix_spawn`, since a daemon with threads and much memory should not fork.
//! One blocking thread accompanies it from spawn to reaping, whatever becomes of the future that asked:
//! dropping that only closes the daemon's writing end, upon which the helper kills the step and ends.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::Arc;

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio_util::sync::CancellationToken;

use crate::network::{Lease, NetworkUsage};
use crate::protocol::{self, HELPER_NAME, HELPER_SOCKET, Order, Report};
use crate::{Error, Exit, Result, Running, Started, Stdio, leftovers, seccomp};

/// What goes to the helper besides the order, and is held until the helper has ended.
#[derive(Debug)]
pub(crate) enum Handed {
    /// The first process of the container to join.
    Process(OwnedFd),
    /// The network of a process that has one of its own.
    Network(Lease),
}

impl Handed {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Process(process) => Some(process.as_fd()),
            Self::Network(lease) => lease.namespace(),
        }
    }

    fn network(&self) -> Option<NetworkUsage> {
        match self {
            Self::Process(_) => None,
            Self::Network(lease) => Some(lease.usage()),
        }
    }
}

/// Run an order to its end. It is made on the blocking thread, since it takes reading files.
pub(crate) async fn launch(
    order: impl FnOnce() -> Result<Order> + Send + 'static,
    handed: Option<Handed>,
    io: Stdio,
    stop: CancellationToken,
    started: Started,
) -> Result<Exit> {
    if stop.is_cancelled() {
        // To give a network back may take a while.
        tokio::task::spawn_blocking(move || drop(handed));
        return Err(Error::Cancelled);
    }
    let (socket, helper_socket) = UnixStream::pair().map_err(failed("reach"))?;
    let socket = Arc::new(socket);
    let hang_up = HangUp(Arc::clone(&socket));
    let mut ended = tokio::task::spawn_blocking(move || {
        accompany(&socket, helper_socket, &order()?, handed.as_ref(), io, started)
    });

    tokio::select! {
        biased;
        ended = &mut ended => return outcome(ended),
        () = stop.cancelled() => drop(hang_up),
    }
    // However the helper ends now, what counts is that it has: everything it started is gone.
    let _ = ended.await;
    Err(Error::Cancelled)
}

/// Tells the helper to stop, at the latest when nobody waits for it any more.
struct HangUp(Arc<UnixStream>);

impl Drop for HangUp {
    fn drop(&mut self) {
        // It fails only where the helper has gone already.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

fn outcome(ended: Result<Result<Exit>, tokio::task::JoinError>) -> Result<Exit> {
    ended.unwrap_or_else(|error| Err(Error::HelperLost { how: error.to_string() }))
}

pub(crate) fn failed(action: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Helper { action, source }
}

fn accompany(
    socket: &UnixStream,
    helper_socket: UnixStream,
    order: &Order,
    handed: Option<&Handed>,
    io: Stdio,
    started: Started,
) -> Result<Exit> {
    let helper = spawn(helper_socket.into(), io).map_err(failed("start"))?;
    let answer = converse(socket, order, handed, started);
    let status = reap(helper).map_err(failed("wait for"))?;
    let how = match answer {
        Ok(Some(Report::Exited(exit))) => return Ok(exit),
        Ok(Some(Report::NotStarted(reason))) => return Err(reason.into()),
        Ok(Some(Report::Failed(failure))) => {
            return Err(Error::Setup { step: failure.step, reason: failure.reason });
        }
        Ok(Some(Report::Started | Report::Prepared(_) | Report::Cleaned) | None) => status,
        Err(error) => format!("{status}; {error}"),
    };
    // It was killed, or worse: nobody else cleans up.
    leftovers::remove(order);
    Err(Error::HelperLost { how })
}

/// The helper's last word.
fn converse(
    mut socket: &UnixStream,
    order: &Order,
    handed: Option<&Handed>,
    started: Started,
) -> io::Result<Option<Report>> {
    protocol::write_message(&mut socket, order)?;
    protocol::write_frame(&mut socket, seccomp::default_filter().unwrap_or_default())?;
    if let Some(descriptor) = handed.and_then(Handed::descriptor) {
        protocol::send_descriptor(socket, descriptor)?;
    }
    let mut started = Some(started);
    loop {
        match protocol::read_message(&mut socket)? {
            Some(Report::Started) => {
                let Some(process) = protocol::receive_descriptor(socket)? else { return Ok(None) };
                let (id, cgroup_parent) = (order.spec.id.clone(), order.spec.cgroup_parent.clone());
                if let Some(tell) = started.take() {
                    let network = handed.and_then(Handed::network);
                    tell(Running { id, cgroup_parent, process, network });
                }
            }
            last => return Ok(last),
        }
    }
}

pub(crate) fn reap(helper: Pid) -> io::Result<String> {
    let ended = rustix::io::retry_on_intr(|| waitpid(Some(helper), WaitOptions::empty()))?;
    Ok(match ended {
        Some((_, status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (_, Some(signal)) => format!("signal {signal}"),
            _ => "unknown status".into(),
        },
        None => "unknown status".into(),
    })
}

/// Our own binary under the helper's name: no environment, a process group of its own (the terminal's
/// interrupt is the daemon's business), default signals, and exactly four descriptors.
pub(crate) fn spawn(socket: OwnedFd, io: Stdio) -> io::Result<Pid> {
    let stdin = match io.stdin {
        Some(stdin) => stdin,
        None => File::open("/dev/null")?.into(),
    };
    // Out of the way of the targets first, so that no copy overwrites what is still to be copied.
    let sources = [stdin, io.stdout, io.stderr, socket];
    let sources = sources.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, HELPER_SOCKET + 1));
    let mut actions = FileActions::new()?;
    let mut kept = Vec::new();
    for (target, source) in (0..).zip(sources) {
        let source = source?;
        actions.copy(&source, target)?;
        kept.push(source);
    }
    let attributes = Attributes::for_helper()?;

    let path = c"/proc/self/exe";
    let name = CString::new(HELPER_NAME)?;
    let (arguments, environment) = ([name.as_ptr().cast_mut(), ptr::null_mut()], [ptr::null_mut()]);
    let mut pid = 0;
    // SAFETY: every pointer outlives the call, and both arrays end with a null pointer.
    let result = unsafe {
        let (arguments, environment) = (arguments.as_ptr(), environment.as_ptr());
        libc::posix_spawn(&mut pid, path.as_ptr(), &actions.0, &attributes.0, arguments, environment)
    };
    checked(result)?;
    Pid::from_raw(pid).ok_or_else(|| io::Error::other("posix_spawn gave no process id"))
}

/// The `posix_spawn` family returns its error instead of setting `errno`.
fn checked(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: init fills the structure where it returns 0.
        unsafe {
            checked(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            Ok(Self(actions.assume_init()))
        }
    }

    fn copy(&mut self, source: &OwnedFd, target: i32) -> io::Result<()> {
        // SAFETY: the structure is initialised and lives as long as `self`.
        checked(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, source.as_raw_fd(), target) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn for_helper() -> io::Result<Self> {
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETPGROUP;
        let mut attributes = MaybeUninit::uninit();
        let (mut none, mut all) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: init fills the structure where it returns 0; the signal sets are filled before use.
        unsafe {
            checked(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let mut attributes = Self(attributes.assume_init());
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigfillset(all.as_mut_ptr());
            checked(libc::posix_spawnattr_setsigmask(&mut attributes.0, none.as_ptr()))?;
            checked(libc::posix_spawnattr_setsigdefault(&mut attributes.0, all.as_ptr()))?;
            checked(libc::posix_spawnattr_setpgroup(&mut attributes.0, 0))?;
            checked(libc::posix_spawnattr_setflags(&mut attributes.0, flags as libc::c_short))?;
            Ok(attributes)
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `for_helper`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}
