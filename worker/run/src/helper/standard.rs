//! The mounts that every step has: `/proc`, `/dev` with its nodes, `/sys` and the control group's view.
//!
//! Their mount points must be plain directories of the tree. A link there is refused, not followed: an image
//! whose `/proc` leads elsewhere would have the runtime write into a place of the image's choosing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::mount::MountAttrFlags;

use super::attempt::{Attempt, Doing, failure};
use super::in_root::{self, Make};
use super::{devices, masks, tree};
use crate::cgroup::Groups;
use crate::protocol::Order;
use crate::{Network, Security};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const READONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// Kinds of filesystem with the options of BuildKit's containers.
const PTS: &[(&str, &str)] = &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
const SHM: &[(&str, &str)] = &[("mode", "1777"), ("size", "65536k")];
const DEV: &[(&str, &str)] = &[("mode", "755"), ("size", "65536k")];

/// Refuses a tree in which something other than a directory stands where they go. Also for OCI runtimes, of
/// which some follow a link there.
pub(super) fn check_places(root: &OwnedFd) -> Attempt<()> {
    for place in ["/proc", "/dev", "/sys"] {
        let step = || format!("mount on {place}");
        match in_root::open(root, place, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(found) if in_root::kind(&found).doing(step())? != FileType::Directory => {
                return Err(failure(step(), "the image has something other than a directory there"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failure(step(), error)),
            _ => {}
        }
    }
    Ok(())
}

/// Mounts all of them on the (attached) root.
pub(super) fn mount_all(root: &OwnedFd, order: &Order, groups: &Groups) -> Attempt<()> {
    // Once more: the tree may have changed since.
    check_places(root)?;
    let sandbox = order.spec.security == Security::Sandbox;
    let wanted = |destination: &str| !order.spec.mounts.iter().any(|mount| mount.destination == destination);

    let proc = mount(root, "/proc", "proc", &[], NOSUID | NODEV | NOEXEC)?;
    // Device nodes are mounted one by one, so that a step cannot add others here.
    let nodev = if sandbox { NODEV } else { MountAttrFlags::empty() };
    let dev = mount(root, "/dev", "tmpfs", DEV, NOSUID | nodev)?;
    devices::populate(&dev, sandbox)?;
    if wanted("/dev/pts") {
        mount_below(&dev, "pts", "devpts", PTS, NOSUID | NOEXEC)?;
    }
    if wanted("/dev/shm") {
        mount_below(&dev, "shm", "tmpfs", SHM, NOSUID | NODEV | NOEXEC)?;
    }
    if wanted("/dev/mqueue") {
        mount_below(&dev, "mqueue", "mqueue", &[], NOSUID | NODEV | NOEXEC)?;
    }
    let readonly = if sandbox { READONLY } else { MountAttrFlags::empty() };
    let sys = mount(root, "/sys", "sysfs", &[], NOSUID | NODEV | NOEXEC | readonly)?;
    mount_groups(&sys, groups, sandbox)?;
    if sandbox {
        masks::mask(&proc, &sys)?;
    }
    Ok(())
}

/// Makes the network namespace's `lo` usable, as every runtime does, where the namespace is the step's own and new.
pub(super) fn bring_up_loopback(network: Network) -> io::Result<()> {
    if network != Network::None {
        return Ok(());
    }
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: all zeroes is a valid `ifreq`; the name is shorter than its field and ends with a zero byte.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS, &request)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn mount(
    root: &OwnedFd,
    place: &str,
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Attempt<OwnedFd> {
    let step = || format!("mount {kind} on {place}");
    let place = in_root::make(root, place, Make::Directory).doing(step())?;
    let mount = tree::new_filesystem(kind, options, attributes).doing(step())?;
    tree::attach(&mount, &place).doing(step())?;
    Ok(mount)
}

/// Inside a filesystem that is ours and fresh.
fn mount_below(
    parent: &OwnedFd,
    name: &str,
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Attempt<()> {
    let step = || format!("mount {kind} on /dev/{name}");
    let place = in_root::make(parent, name, Make::Directory).doing(step())?;
    let mount = tree::new_filesystem(kind, options, attributes).doing(step())?;
    tree::attach(&mount, &place).doing(step())
}

/// With unified groups, the step's own view. The older layout has one filesystem per controller, of which a
/// step without limits has no use: there `/sys/fs/cgroup` stays the empty directory it is.
fn mount_groups(sys: &OwnedFd, groups: &Groups, sandbox: bool) -> Attempt<()> {
    if !groups.unified() {
        return Ok(());
    }
    let step = "mount cgroup2 on /sys/fs/cgroup";
    let place = match in_root::open(sys, "fs/cgroup", OFlags::PATH) {
        Ok(place) => place,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure(step, error)),
    };
    let readonly = if sandbox { READONLY } else { MountAttrFlags::empty() };
    let mount = tree::new_filesystem("cgroup2", &[], NOSUID | NODEV | NOEXEC | readonly).doing(step)?;
    tree::attach(mount.as_fd(), &place).doing(step)
}
