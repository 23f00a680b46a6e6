//! From a process in the right namespaces to the command: steps 3 and 4 of [`super::container`], which are the
//! same for the first process of a container and for one that joins it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{CWD, Mode};
use rustix::process::Signal;

use super::attempt::{Attempt, Doing, failure};
use super::user::User;
use super::{devices, execute, in_root, limits, privileges};
use crate::protocol::{self, Failure, HELPER_SOCKET, Order, Report};
use crate::{NotStarted, Security};

/// What is to be executed, and as whom.
pub(super) struct Command<'a> {
    pub(super) order: &'a Order,
    pub(super) filter: &'a [u8],
    pub(super) user: &'a User,
    pub(super) home: &'a str,
}

/// Why the command does not run.
enum Refusal {
    Setup(Failure),
    Command(NotStarted),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Setup(failure)
    }
}

impl From<NotStarted> for Refusal {
    fn from(reason: NotStarted) -> Self {
        Self::Command(reason)
    }
}

/// The number of the reporting socket from the beginning: that of the helper's own socket, which must not
/// stay open here.
const REPORT: i32 = HELPER_SOCKET;

impl Command<'_> {
    /// Becomes the command once `set_up` has found the namespaces, or tells the helper why not.
    pub(super) fn become_after(&self, report: UnixStream, set_up: impl FnOnce() -> Attempt<()>) -> ! {
        let Ok(report) = take_place_of_socket(report) else { exit_now() };
        let refusal = match set_up() {
            Ok(()) => self.execute(),
            Err(failure) => failure.into(),
        };
        let message = match refusal {
            Refusal::Setup(failure) => Report::Failed(failure),
            Refusal::Command(reason) => Report::NotStarted(reason),
        };
        // Nobody is left to tell where the helper is gone.
        let _ = protocol::write_message(&mut &report, &message);
        exit_now()
    }

    /// Returns only what went wrong.
    fn execute(&self) -> Refusal {
        match self.give_up_privileges() {
            Ok(()) => execute::execute(&self.order.spec.args, &self.order.spec.env, self.home).into(),
            Err(failure) => failure.into(),
        }
    }

    fn give_up_privileges(&self) -> Attempt<()> {
        let spec = &self.order.spec;
        limits::apply(&spec.ulimits)?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        join_new_keyring(&spec.id).doing("start a session keyring")?;
        own_streams(self.user.uid).doing("hand the standard streams to the user")?;
        let filter = match spec.security {
            Security::Sandbox => self.filter,
            Security::Insecure => &[],
        };
        privileges::reduce(spec.security, self.order.capabilities, filter, self.user)?;
        die_with_helper().doing("tie the process to its helper")?;
        close_all_after_report().doing("close what was inherited")?;
        change_directory(spec.cwd())
    }
}

/// A session of its own that dies with the helper; the standard input becomes its terminal where it is one.
pub(super) fn lead_a_session(terminal: bool) -> Attempt<()> {
    die_with_helper().doing("tie the process to its helper")?;
    rustix::process::setsid().doing("start a session")?;
    if terminal {
        rustix::process::ioctl_tiocsctty(io::stdin()).doing("take the terminal")?;
    }
    Ok(())
}

/// Ends without running anything of the parent's that was copied along.
fn exit_now() -> ! {
    // SAFETY: ends the process; no memory is touched any more.
    unsafe { libc::_exit(1) }
}

fn die_with_helper() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Keyrings know no namespaces: without one of its own the step would see the daemon's.
fn join_new_keyring(id: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(format!("_ses.{id}"))?;
    // SAFETY: the name is a C string that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    match io::Error::last_os_error() {
        _ if result >= 0 => Ok(()),
        // A kernel without keyrings has nothing to share.
        error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        error => Err(error),
    }
}

/// So that a user who is not root can reopen `/dev/stdout`.
fn own_streams(uid: u32) -> io::Result<()> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for stream in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        if devices::is_null(stream) || in_root::stat(stream)?.st_uid == uid {
            continue;
        }
        match rustix::fs::fchown(stream, Some(rustix::fs::Uid::from_raw(uid)), None) {
            // A file on a read-only filesystem, or one that is not ours: it stays as it is.
            Ok(()) | Err(rustix::io::Errno::ROFS | rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Gives the reporting socket its number.
fn take_place_of_socket(report: UnixStream) -> io::Result<UnixStream> {
    // SAFETY: whoever owned the number is a caller that never returns in this process.
    unsafe {
        if libc::dup3(report.as_raw_fd(), REPORT, libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(UnixStream::from_raw_fd(REPORT))
    }
}

/// Leaves 0 to 2 and the reporting socket, which closes by itself in `execve`.
///
/// The numbers that are closed here belong to values of callers that never return: the process becomes
/// another, or ends by `_exit`.
fn close_all_after_report() -> io::Result<()> {
    // SAFETY: plain numbers; see above for who owns what is closed.
    if unsafe { libc::syscall(libc::SYS_close_range, REPORT + 1, u32::MAX, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Goes there, and makes sure that "there" is inside the root.
fn change_directory(cwd: &str) -> Attempt<()> {
    let step = || format!("change to working directory {cwd:?}");
    rustix::process::chdir(cwd).doing(step())?;
    let real = rustix::process::getcwd(Vec::new()).doing(step())?;
    if !real.as_bytes().starts_with(b"/") {
        return Err(failure(step(), "it is outside of the root"));
    }
    // One look more, since a directory that was removed has a path as well.
    rustix::fs::accessat(CWD, c".", rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()).doing(step())
}
