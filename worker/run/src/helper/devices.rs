//! `/dev` of a step.
//!
//! In the sandbox `/dev` forbids device nodes, and the six harmless ones are the host's, mounted one by one
//! and read-only: that does not keep anyone from writing *to the device*, but from changing the node's owner
//! or mode, which the host would notice. In insecure mode `/dev` is a directory in which nodes can be made,
//! with those that builds of virtual machines and filesystems want.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dev, FileType, Mode, makedev};
use rustix::mount::MountAttrFlags;

use super::attempt::{Attempt, Doing};
use super::in_root::{self, Make};
use super::tree;
use crate::{DeviceNode, NodeKind};

/// Name, major and minor number (`Documentation/admin-guide/devices.txt`).
const HARMLESS: &[(&str, u32, u32)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const INSECURE: &[(&str, u32, u32)] = &[
    ("kmsg", 1, 11),
    ("cuse", 10, 203),
    ("fuse", 10, 229),
    ("kvm", 10, 232),
    ("net/tun", 10, 200),
    ("loop-control", 10, 237),
];
/// As many loop devices as are there before any is in use.
const LOOP_DEVICES: u32 = 8;
const LOOP_MAJOR: u32 = 7;

const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
];

/// Fills a fresh `/dev`.
pub(super) fn populate(dev: &OwnedFd, sandbox: bool) -> Attempt<()> {
    for (name, ..) in HARMLESS {
        expose(dev, name).doing(format!("mount /dev/{name}"))?;
    }
    if !sandbox {
        make_insecure(dev).doing("make the devices of insecure mode")?;
    }
    for (target, name) in LINKS {
        if *name == "core" && !std::fs::exists(target).unwrap_or_default() {
            continue;
        }
        rustix::fs::symlinkat(*target, dev, *name).doing(format!("link /dev/{name}"))?;
    }
    Ok(())
}

fn expose(dev: &OwnedFd, name: &str) -> io::Result<()> {
    let device = open_host_device(name)?;
    let place = in_root::make(dev, name, Make::File)?;
    tree::attach(tree::bind(&device, MountAttrFlags::MOUNT_ATTR_RDONLY)?, &place)
}

/// One of the harmless devices of the host, checked to be that device.
pub(super) fn open_host_device(name: &str) -> io::Result<OwnedFd> {
    let device = in_root::open_host(format!("/dev/{name}"))?;
    let stat = in_root::stat(&device)?;
    let expected =
        HARMLESS.iter().find(|(known, ..)| *known == name).map(|(_, major, minor)| makedev(*major, *minor));
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
        || Some(stat.st_rdev as Dev) != expected
    {
        return Err(io::Error::other(format!("the host's /dev/{name} is not the device of that name")));
    }
    Ok(device)
}

/// The nodes of insecure mode as an OCI runtime's configuration lists them.
pub(super) fn insecure_for_runtime() -> Vec<serde_json::Value> {
    let device = |name: String, kind: &str, major: u32, minor: u32| serde_json::json!({ "path": format!("/dev/{name}"), "type": kind, "major": major, "minor": minor });
    let characters = INSECURE.iter().map(|(name, major, minor)| device((*name).into(), "c", *major, *minor));
    let loops = (0..LOOP_DEVICES).map(|number| device(format!("loop{number}"), "b", LOOP_MAJOR, number));
    characters.chain(loops).collect()
}

fn make_insecure(dev: &OwnedFd) -> io::Result<()> {
    rustix::fs::mkdirat(dev, "net", Mode::from_raw_mode(0o755))?;
    for (name, major, minor) in INSECURE {
        node(dev.as_fd(), name, FileType::CharacterDevice, makedev(*major, *minor))?;
    }
    for number in 0..LOOP_DEVICES {
        node(dev.as_fd(), &format!("loop{number}"), FileType::BlockDevice, makedev(LOOP_MAJOR, number))?;
    }
    Ok(())
}

/// A node for a device that a process was given.
pub(super) fn make(
    directory: impl AsFd,
    name: &str,
    wanted: &DeviceNode,
    (uid, gid): (u32, u32),
) -> io::Result<()> {
    let kind = match wanted.kind {
        NodeKind::Block => FileType::BlockDevice,
        NodeKind::Character => FileType::CharacterDevice,
        NodeKind::Pipe => FileType::Fifo,
    };
    rustix::fs::mknodat(&directory, name, kind, Mode::empty(), makedev(wanted.major, wanted.minor))?;
    let owner = (Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)));
    rustix::fs::chownat(&directory, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rustix::fs::chmodat(&directory, name, Mode::from_raw_mode(wanted.mode & 0o777), AtFlags::empty())?)
}

fn node(dev: impl AsFd, name: &str, kind: FileType, device: Dev) -> io::Result<()> {
    rustix::fs::mknodat(&dev, name, kind, Mode::empty(), device)?;
    // Apart from the umask.
    Ok(rustix::fs::chmodat(&dev, name, Mode::from_raw_mode(0o666), AtFlags::empty())?)
}

/// Whether a descriptor is the null device, which belongs to everybody.
pub(super) fn is_null(fd: impl AsFd) -> bool {
    in_root::stat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev as Dev == makedev(1, 3)
    })
}

/// A file to put something on, where the mount to come is a file.
pub(super) fn kind_to_make(mount: impl AsFd) -> io::Result<Make> {
    Ok(match in_root::kind(mount)? {
        FileType::Directory => Make::Directory,
        _ => Make::File,
    })
}
