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
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::fs::OFlags;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};

use super::attempt::{Attempt, Doing, failure};
use super::command::{self, Command};
use super::prepare::{Attachment, Prepared, Source};
use super::{devices, in_root, standard, tree};
use crate::cgroup::Groups;
use crate::protocol::Order;

/// What process 1 needs of its parent, whose memory it is a copy of.
pub(super) struct Container<'a> {
    pub(super) order: &'a Order,
    pub(super) prepared: &'a Prepared,
    pub(super) filter: &'a [u8],
    pub(super) groups: &'a Groups,
}

/// Where mounts are attached, one upon the other, until the step's root is entered: a directory that every host
/// has (it is how the helper was started). Never `/` itself: what is mounted on the host's root would be what
/// `enter_root` lets go of, in place of the host's root.
const SCRATCH: &str = "/proc";

impl Container<'_> {
    /// Becomes the command, or tells the helper why not.
    pub(super) fn become_command(&self, report: UnixStream) -> ! {
        let Prepared { user, home, .. } = self.prepared;
        let command = Command { order: self.order, filter: self.filter, user, home };
        command.become_after(report, || self.set_up())
    }

    /// Steps 1 and 2.
    fn set_up(&self) -> Attempt<()> {
        let spec = &self.order.spec;
        command::lead_a_session(spec.terminal)?;
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
        enter_root(&root).doing("enter the root tree")
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
