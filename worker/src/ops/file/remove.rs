//! Removing paths, and everything below them.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::AtFlags;
use rustix::io::Errno;
use slipway_model::llb::pb;

use super::error::DEEPEST;
use super::tree::{Tree, directory_at, names};
use super::{FileError, Result, wildcard};

/// Removes a path; a link itself, not what it leads to.
pub fn rm(tree: BorrowedFd<'_>, action: &pb::FileActionRm) -> Result<()> {
    let tree = Tree { root: tree };
    let paths = if action.allow_wildcard {
        wildcard::resolve(&tree, action.path.as_bytes(), false)?
    } else {
        vec![action.path.as_bytes().to_vec()]
    };
    paths.iter().try_for_each(|path| remove_path(&tree, path, action.allow_not_found))
}

fn remove_path(tree: &Tree<'_>, path: &[u8], allow_missing: bool) -> Result<()> {
    let path = tree.real_path(path, false)?;
    if path == b"/" {
        return Err(FileError::EmptyPath);
    }
    match tree.parent_of(&path).and_then(|(parent, name)| remove_tree(&parent, name, 0)) {
        Err(Errno::NOENT | Errno::NOTDIR) if allow_missing => Ok(()),
        result => result.map_err(FileError::io("remove", &path)),
    }
}

/// Removes `name` with everything below it.
pub(super) fn remove_tree(parent: &OwnedFd, name: &[u8], depth: usize) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        result => return result,
    }
    if depth > DEEPEST {
        return Err(Errno::LOOP);
    }
    let directory = match directory_at(parent, name) {
        // Not a directory after all: what was denied was the removal.
        Err(Errno::NOTDIR) => return Err(Errno::PERM),
        directory => directory?,
    };
    for child in names(&directory)? {
        remove_tree(&directory, &child, depth + 1)?;
    }
    drop(directory);
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
