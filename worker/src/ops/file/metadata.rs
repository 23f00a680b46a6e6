//! Owner, mode, times and extended attributes of what an action makes.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::owner::Owner;

/// Linux: `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`.
const LARGEST_XATTR: usize = 64 * 1024;

/// `-1` on the wire: not set.
pub(super) fn timestamp(nanoseconds: i64) -> Option<Timespec> {
    const SECOND: i64 = 1_000_000_000;
    (nanoseconds != -1)
        .then(|| Timespec { tv_sec: nanoseconds.div_euclid(SECOND), tv_nsec: nanoseconds.rem_euclid(SECOND) })
}

pub(super) fn chown(file: impl AsFd, owner: Owner) -> rustix::io::Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}

pub(super) fn chown_at(directory: &OwnedFd, name: &[u8], owner: Owner) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn chmod(file: impl AsFd, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
}

/// Modification and access time at once.
pub(super) fn both(time: Timespec) -> Timestamps {
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn times_of(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as i64 },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as i64 },
    }
}

pub(super) fn set_times_at(directory: &OwnedFd, name: &[u8], times: &Timestamps) -> rustix::io::Result<()> {
    rustix::fs::utimensat(directory, name, times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Copies extended attributes between open files. One that cannot be read or set is left out: the
/// target may be on another kind of file system, or under another security policy.
pub(super) fn copy_xattrs(from: impl AsFd, to: impl AsFd) {
    let (from, to) = (from.as_fd(), to.as_fd());
    each_xattr(
        |buffer| rustix::fs::flistxattr(from, buffer),
        |name, buffer| rustix::fs::fgetxattr(from, name, buffer),
        |name, value| rustix::fs::fsetxattr(to, name, value, XattrFlags::empty()),
    );
}

/// [`copy_xattrs`] of entries that cannot be opened: links and devices.
pub(super) fn copy_xattrs_at(from: (&OwnedFd, &[u8]), to: (&OwnedFd, &[u8])) {
    let (from, to) = (through(from.0, from.1), through(to.0, to.1));
    each_xattr(
        |buffer| rustix::fs::llistxattr(from.as_slice(), buffer),
        |name, buffer| rustix::fs::lgetxattr(from.as_slice(), name, buffer),
        |name, value| rustix::fs::lsetxattr(to.as_slice(), name, value, XattrFlags::empty()),
    );
}

/// A path of which only the last element is looked up, and not followed.
fn through(directory: &OwnedFd, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat()
}

fn each_xattr(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
    set: impl Fn(&[u8], &[u8]) -> rustix::io::Result<()>,
) {
    // Nearly no file has any, and then no large buffer is needed to learn so.
    if matches!(list(&mut [0; 256]), Ok(0) | Err(Errno::NOTSUP | Errno::PERM)) {
        return;
    }
    let mut buffer = vec![0; LARGEST_XATTR];
    let Ok(length) = list(&mut buffer) else { return };
    let names = buffer.get(..length).unwrap_or_default().to_vec();
    for name in names.split(|byte| *byte == 0).filter(|name| counts(name)) {
        if let Ok(length) = get(name, &mut buffer) {
            let _ = set(name, buffer.get(..length).unwrap_or_default());
        }
    }
}

/// How an overlay keeps a tree is no part of the tree.
pub(super) fn counts(name: &[u8]) -> bool {
    !name.is_empty() && !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay.")
}
