//! Where an entry goes: its parent directory, found by the kernel inside the root, and a last name.
//!
//! Parents are kept open, because neighbours in a layer are neighbours in the tree. The kept ones are
//! forgotten whenever something that could lie on a path (a directory or a symlink) is removed.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2, readlinkat};
use rustix::io::Errno;

use crate::layer::LayerError;

/// Parents that are kept open.
const KEPT: usize = 64;
/// As many symlinks as the kernel would follow.
const MOST_SYMLINKS: usize = 40;

pub(super) struct Places<'a> {
    root: BorrowedFd<'a>,
    kept: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// Directories that were made because something is inside them.
    pub(super) implied: BTreeSet<Vec<u8>>,
}

/// A name in an open directory.
pub(super) struct Place<'n> {
    pub(super) directory: Rc<OwnedFd>,
    pub(super) name: &'n [u8],
}

impl<'a> Places<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, kept: HashMap::new(), implied: BTreeSet::new() }
    }

    /// The place of a [`clean`] path that is not the root; missing parents are made.
    pub(super) fn of<'n>(&mut self, path: &'n [u8]) -> Result<Place<'n>, LayerError> {
        let (parent, name) = split(path);
        Ok(Place { directory: self.directory(parent, 0)?, name })
    }

    /// The same for something that must be there already.
    pub(super) fn existing<'n>(&mut self, path: &'n [u8]) -> Result<Place<'n>, LayerError> {
        let (parent, name) = split(path);
        let directory = match self.kept.get(parent) {
            Some(kept) => kept.clone(),
            None => Rc::new(self.open(parent).map_err(LayerError::file("open", parent))?),
        };
        Ok(Place { directory, name })
    }

    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }

    /// Opens a directory inside the root, following symlinks inside the root.
    pub(super) fn open(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        open_inside(self.root, path)
    }

    fn directory(&mut self, path: &[u8], followed: usize) -> Result<Rc<OwnedFd>, LayerError> {
        if let Some(kept) = self.kept.get(path) {
            return Ok(kept.clone());
        }
        let opened = match self.open(path) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return self.make(path, followed),
            Err(error) => return Err(LayerError::file("open the directory", path)(error)),
        };
        Ok(self.keep(path, opened))
    }

    fn keep(&mut self, path: &[u8], opened: OwnedFd) -> Rc<OwnedFd> {
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        let opened = Rc::new(opened);
        self.kept.insert(path.to_vec(), opened.clone());
        opened
    }

    fn make(&mut self, path: &[u8], followed: usize) -> Result<Rc<OwnedFd>, LayerError> {
        let (parent, name) = split(path);
        let directory = self.directory(parent, followed)?;
        match mkdirat(&*directory, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => drop(self.implied.insert(path.to_vec())),
            // A symlink to something that is not there (here): make what it names.
            Err(Errno::EXIST) if followed < MOST_SYMLINKS => {
                let target = readlinkat(&*directory, name, Vec::new());
                let target = target.map_err(LayerError::file("open the directory", path))?.into_bytes();
                let target = if target.starts_with(b"/") { target } else { [parent, b"/", &target].concat() };
                return self.directory(&clean(&target), followed + 1);
            }
            Err(error) => return Err(LayerError::file("make the directory", path)(error)),
        }
        let opened =
            open_inside(directory.as_fd(), name).map_err(LayerError::file("open the directory", path))?;
        Ok(self.keep(path, opened))
    }
}

fn open_inside(directory: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(directory, path, flags, Mode::empty(), resolve) {
            // Something was renamed meanwhile; the kernel asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Relative to the root, without `.`, `..` and empty parts; empty for the root itself.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        for (path, expected) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("/a", "a"),
            ("../../a", "a"),
            ("a/../../b", "b"),
            ("..", ""),
            ("", ""),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }
}
