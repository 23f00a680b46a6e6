//! The first process of a step, from its birth by `clone3` to `execve`.
//!
//! It is process 1 of its process namespace and stays it: when it ends, the kernel kills the rest. The order
//! below is what keeps it safe:
//!
//! 1. join the control group, while the host's files are still in sight;
//! 2. cut the mount namespace off from the host's, attach the root, mount into it, enter it, let go of the
//!    host's mounts;
//! 3. give up privileges: filter, bounding set, user, capabilities;
//! 4. close every descriptor but the three of the process and the one that reports, and only then go to the
//!    working directory and look for the command: a path like `/proc/self/fd/8` finds nothing to escape by.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::Signal;

use super::attempt::{Attempt, Doing, failure};
use super::prepare::{Attachment, Prepared, Source};
use super::{devices, execute, in_root, limits, privileges, standard, tree};
use crate::cgroup::Groups;
use crate::protocol::{self, Failure, HELPER_SOCKET, Order, Report};
use crate::{NotStarted, Security};

/// What process 1 needs of its parent, whose memory it is a copy of.
pub(super) struct Container<'a> {
    pub(super) order: &'a Order,
    pub(super) prepared: &'a Prepared,
    pub(super) filter: &'a [u8],
    pub(super) groups: &'a Groups,
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

/// Where mounts are attached, one upon the other, until the step's root is entered: a directory that every host
/// has (it is how the helper was started). Never `/` itself: what is mounted on the host's root would be what
/// `enter_root` lets go of, in place of the host's root.
const SCRATCH: &str = "/proc";

impl Container<'_> {
    /// Becomes the command, or tells the helper why not.
    pub(super) fn become_command(&self, report: UnixStream) -> ! {
        let Ok(report) = take_place_of_socket(report) else { exit_now() };
        let refusal = match self.set_up() {
            Ok(home) => self.execute(&home),
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

    /// Steps 1 and 2.
    fn set_up(&self) -> Attempt<String> {
        let spec = &self.order.spec;
        die_with_helper().doing("tie the process to its helper")?;
        rustix::process::setsid().doing("start a session")?;
        self.groups.enter()?;
        mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .doing("detach the mounts from the host's")?;
        let mounts = self.take_mounts()?;
        let root = self.attach_root().doing("attach the root tree")?;
        standard::mount_all(&root, self.order, self.groups)?;
        for (attachment, mount) in self.prepared.attachments.iter().zip(&mounts) {
            attach(&root, &attachment.destination, mount)?;
        }
        if spec.readonly_root {
            let readonly = MountAttrFlags::MOUNT_ATTR_RDONLY;
            tree::set_attributes(&root, readonly, false).doing("make the root read-only")?;
        }
        rustix::system::sethostname(spec.hostname().as_bytes()).doing("set the host name")?;
        standard::bring_up_loopback(spec.network).doing("bring up lo")?;
        enter_root(&root).doing("enter the root tree")?;
        Ok(self.prepared.home.clone())
    }

    /// What is to be mounted, as detached mounts. Parts are taken here, while nothing lies on their wholes yet:
    /// for the kernel, `..` of a root leads to what is mounted on it.
    fn take_mounts(&self) -> Attempt<Vec<OwnedFd>> {
        let memory = &self.prepared.memory;
        tree::attach_at(memory, SCRATCH).doing("attach the files of the step")?;
        let take = |attachment: &Attachment| -> io::Result<OwnedFd> {
            match &attachment.source {
                Source::Whole(mount) => Ok(rustix::io::fcntl_dupfd_cloexec(mount, 0)?),
                Source::File { name } => part(memory, name, attachment.attributes),
                Source::Part { of, selector } => {
                    tree::attach_at(of, SCRATCH)?;
                    part(of, selector, attachment.attributes)
                }
            }
        };
        let attachments = self.prepared.attachments.iter();
        attachments.map(|one| take(one).doing(format!("mount on {:?}", one.destination))).collect()
    }

    /// The root as a mount of this namespace. For a read-only one a second mount of the same tree is taken,
    /// since the helper has to remove mount stubs through the first.
    fn attach_root(&self) -> io::Result<OwnedFd> {
        tree::attach_at(&self.prepared.root, SCRATCH)?;
        if !self.order.spec.readonly_root {
            return Ok(rustix::io::fcntl_dupfd_cloexec(&self.prepared.root, 0)?);
        }
        let root = tree::bind(&self.prepared.root, MountAttrFlags::empty())?;
        tree::attach_at(&root, SCRATCH)?;
        Ok(root)
    }

    /// Steps 3 and 4. Returns only what went wrong.
    fn execute(&self, home: &str) -> Refusal {
        match self.give_up_privileges() {
            Ok(()) => execute::execute(&self.order.spec.args, &self.order.spec.env, home).into(),
            Err(failure) => failure.into(),
        }
    }

    fn give_up_privileges(&self) -> Attempt<()> {
        let spec = &self.order.spec;
        limits::apply(&spec.ulimits)?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        join_new_keyring(&spec.id).doing("start a session keyring")?;
        own_streams(self.prepared.user.uid).doing("hand the standard streams to the user")?;
        let filter = match spec.security {
            Security::Sandbox => self.filter,
            Security::Insecure => &[],
        };
        privileges::reduce(spec.security, self.order.capabilities, filter, &self.prepared.user)?;
        die_with_helper().doing("tie the process to its helper")?;
        close_all_after_report().doing("close what was inherited")?;
        change_directory(spec.cwd())
    }
}

/// Ends without running anything of the parent's that was copied along.
fn exit_now() -> ! {
    // SAFETY: ends the process; no memory is touched any more.
    unsafe { libc::_exit(1) }
}

fn die_with_helper() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// What a path leads to in an attached mount, as a detached one.
pub(super) fn part(of: &OwnedFd, selector: &str, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("{selector:?} of its source: {error}"));
    let part = in_root::open(of, selector, OFlags::PATH).map_err(explain)?;
    tree::bind(&part, attributes)
}

/// Mounts one of the build's mounts where its destination leads inside the root.
fn attach(root: &OwnedFd, destination: &str, mount: &OwnedFd) -> Attempt<()> {
    let step = || format!("mount on {destination:?}");
    let make = devices::kind_to_make(mount).doing(step())?;
    let place = in_root::make(root, destination, make).doing(step())?;
    if is_proc(&place).doing(step())? {
        return Err(failure(step(), "it is inside /proc"));
    }
    tree::attach(mount, &place).doing(step())
}

/// Covering parts of `/proc` would let a build fake what the runtime and the kernel say there.
fn is_proc(place: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(place)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

/// Makes the attached root the root of everything, and lets go of the host's mounts.
fn enter_root(root: &OwnedFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(c".", c".")?;
    // The old root is now mounted on the new one's.
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    // Whatever was left on top of the root could be reached by this path.
    let (above, root) = (rustix::fs::stat(c"/..")?, in_root::stat(root)?);
    if (above.st_dev, above.st_ino) != (root.st_dev, root.st_ino) {
        return Err(io::Error::other("the root's parent is another directory"));
    }
    Ok(())
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
