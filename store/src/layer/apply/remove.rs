//! Removing what a layer replaces or deletes, whole directories included, without following anything.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::{Errno, Result};

/// Directories inside each other that are followed down.
const DEEPEST: usize = 400;

/// What kind of thing `name` is; `None` if it is not there.
pub(super) fn kind_of(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileType>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes `name` and all inside it. It need not be there.
pub(super) fn remove(directory: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    remove_but(directory, name, &[], &HashSet::new(), 0).map(drop)
}

/// Removes what is inside `directory`, known as `path`, but what is in `spared` (paths from the root)
/// and the directories above that.
pub(super) fn empty(directory: BorrowedFd<'_>, path: &[u8], spared: &HashSet<Vec<u8>>) -> Result<()> {
    empty_but(directory, path, spared, 0).map(drop)
}

/// Says whether `name` is gone.
fn remove_but(
    directory: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    spared: &HashSet<Vec<u8>>,
    depth: usize,
) -> Result<bool> {
    let is_spared = !spared.is_empty() && spared.contains(path);
    match kind_of(directory, name)? {
        None => Ok(true),
        Some(FileType::Directory) => {
            if depth >= DEEPEST {
                return Err(Errno::LOOP);
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let inside = openat(directory, name, flags, Mode::empty())?;
            let gone = empty_but(inside.as_fd(), path, spared, depth)? && !is_spared;
            if gone {
                unlinkat(directory, name, AtFlags::REMOVEDIR)?;
            }
            Ok(gone)
        }
        Some(_) if is_spared => Ok(false),
        Some(_) => unlinkat(directory, name, AtFlags::empty()).map(|()| true),
    }
}

fn empty_but(
    directory: BorrowedFd<'_>,
    path: &[u8],
    spared: &HashSet<Vec<u8>>,
    depth: usize,
) -> Result<bool> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        names.push(entry?.file_name().to_bytes().to_vec());
    }
    let mut all = true;
    for name in names {
        if name == b"." || name == b".." {
            continue;
        }
        let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
        all &= remove_but(directory, &name, &below, spared, depth + 1)?;
    }
    Ok(all)
}
