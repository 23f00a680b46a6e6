//! What of `/proc` and `/sys` a sandboxed step must not read, and what it must not write.
//!
//! The lists are containerd's. A masked directory is covered by an empty one, a masked file by the host's
//! null device, taken from a mount that was checked to be just that.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, OFlags};
use rustix::mount::MountAttrFlags;

use super::attempt::{Attempt, Doing, failure};
use super::{devices, in_root, tree};

const MASKED_IN_PROC: &[&str] =
    &["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"];
const MASKED_IN_SYS: &[&str] = &["firmware", "devices/virtual/powercap"];
const READONLY_IN_PROC: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// The same as absolute paths, for an OCI runtime.
pub(super) fn masked_paths() -> Vec<String> {
    let paths =
        |root: &'static str, names: &'static [&str]| names.iter().map(move |name| format!("/{root}/{name}"));
    paths("proc", MASKED_IN_PROC).chain(paths("sys", MASKED_IN_SYS)).collect()
}

pub(super) fn readonly_paths() -> Vec<String> {
    READONLY_IN_PROC.iter().map(|name| format!("/proc/{name}")).collect()
}

/// Covers them on these two (attached) filesystems.
pub(super) fn mask(proc: &OwnedFd, sys: &OwnedFd) -> Attempt<()> {
    let mut covers = Covers::default();
    let masked_in = |fs, names: &'static [&str]| names.iter().map(move |name| (fs, *name));
    for (filesystem, name) in masked_in(proc, MASKED_IN_PROC).chain(masked_in(sys, MASKED_IN_SYS)) {
        if let Some(place) = existing(filesystem, name)? {
            covers.cover(&place).doing(format!("mask {name} of /proc or /sys"))?;
        }
    }
    for name in READONLY_IN_PROC {
        if let Some(place) = existing(proc, name)? {
            let step = || format!("make /proc/{name} read-only");
            let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
                | MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC;
            let mount = tree::bind(&place, attributes).doing(step())?;
            tree::attach(&mount, &place).doing(step())?;
        }
    }
    Ok(())
}

/// Kernels differ in what they have.
fn existing(filesystem: &OwnedFd, name: &str) -> Attempt<Option<OwnedFd>> {
    match in_root::open(filesystem, name, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure(format!("open {name} of /proc or /sys"), error)),
    }
}

/// What masks with. Each cover is mounted once as it is and cloned from there (kernels before 6.15 do not
/// clone what is detached).
#[derive(Default)]
struct Covers {
    directory: Option<OwnedFd>,
}

impl Covers {
    fn cover(&mut self, place: &OwnedFd) -> io::Result<()> {
        if in_root::kind(place)? != FileType::Directory {
            let null = devices::open_host_device("null")?;
            return tree::attach(tree::bind(&null, MountAttrFlags::MOUNT_ATTR_RDONLY)?, place);
        }
        let readonly = MountAttrFlags::MOUNT_ATTR_RDONLY;
        match &self.directory {
            Some(directory) => tree::attach(tree::bind(directory, readonly)?, place),
            None => {
                let empty = tree::new_filesystem("tmpfs", &[("size", "0")], readonly)?;
                tree::attach(&empty, place)?;
                self.directory = Some(empty);
                Ok(())
            }
        }
    }
}
