//! A tree and the paths in it.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use slipway_model::lexical;

use super::{FileError, Result};

const MOST_LINKS: usize = 255;

/// The root of a tree that somebody else made.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    pub(super) root: BorrowedFd<'a>,
}

impl Tree<'_> {
    /// The path without links that `path` leads to. Elements that do not exist count as they are
    /// written. With `follow_last` the last element is followed too.
    pub(super) fn real_path(&self, path: &[u8], follow_last: bool) -> Result<Vec<u8>> {
        let mut current = b"/".to_vec();
        let mut rest: Vec<Vec<u8>> =
            lexical::absolute(path).split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(element) = rest.pop() {
            let next = lexical::absolute(&[current.as_slice(), b"/", &element].concat());
            let target = if rest.is_empty() && !follow_last { None } else { self.link_target(&next)? };
            let Some(target) = target else {
                current = next;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(FileError::TooManyLinks);
            }
            if target.starts_with(b"/") {
                current = b"/".to_vec();
            }
            rest.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
        }
        Ok(current)
    }

    fn link_target(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let link = match self.open(path, OFlags::PATH) {
            Ok(link) => link,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(FileError::io("lstat", path)(errno)),
        };
        match rustix::fs::readlinkat(&link, "", Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            // What is not a link.
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(errno) => Err(FileError::io("readlink", path)(errno)),
        }
    }

    /// Opens a path that must not lead through links; a link at its end can be opened with
    /// `OFlags::PATH` only.
    pub(super) fn open(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.open_new(path, flags, Mode::empty())
    }

    pub(super) fn open_new(&self, path: &[u8], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let relative = path.strip_prefix(b"/").unwrap_or(path);
        let relative = if relative.is_empty() { b"." } else { relative };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // The parents in one step, the last element in another: the kernel's ban on links would
        // also forbid looking at one.
        let (parent, name) = match relative.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => {
                (relative.get(..slash).unwrap_or_default(), relative.get(slash + 1..).unwrap_or_default())
            }
            None => return rustix::fs::openat2(self.root, relative, flags, mode, resolve),
        };
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::openat2(
            self.root,
            parent,
            directory,
            Mode::empty(),
            resolve | ResolveFlags::NO_SYMLINKS,
        )?;
        rustix::fs::openat2(parent, name, flags, mode, resolve)
    }

    /// The directory at a path without links.
    pub(super) fn directory(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// What is at a path without links, if anything; a link at its end is not followed.
    pub(super) fn stat(&self, path: &[u8]) -> Result<Option<Stat>> {
        match self.open(path, OFlags::PATH).and_then(rustix::fs::fstat) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(FileError::io("lstat", path)(errno)),
        }
    }

    /// The directory that holds the last element of a path without links, and that element.
    pub(super) fn parent_of<'p>(&self, path: &'p [u8]) -> rustix::io::Result<(OwnedFd, &'p [u8])> {
        Ok((self.directory(&lexical::parent(path))?, lexical::base(path)))
    }
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    kind(stat) == FileType::Directory
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// What is called `name` in `directory`, if anything; a link is not followed.
pub(super) fn stat_at(directory: &OwnedFd, name: &[u8]) -> rustix::io::Result<Option<Stat>> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

pub(super) fn directory_at(directory: &OwnedFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// The names in a directory, sorted by bytes.
pub(super) fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}
