//! Making directories, files and links.

use std::io::Write as _;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, Timespec};
use rustix::io::Errno;
use slipway_model::lexical;
use slipway_model::llb::pb;

use super::metadata::{both, chmod, chown, chown_at, set_times_at, timestamp};
use super::owner::Owner;
use super::tree::{Tree, directory_at, is_directory, kind};
use super::{FileError, Result};

/// Makes a directory; one that is there stays as it is.
pub fn mkdir(tree: BorrowedFd<'_>, action: &pb::FileActionMkDir, owner: Option<Owner>) -> Result<()> {
    let tree = Tree { root: tree };
    let path = tree.real_path(action.path.as_bytes(), true)?;
    let made = Made { mode: action.mode as u32 & 0o777, owner, time: timestamp(action.timestamp) };
    if action.make_parents {
        return made.directory_and_parents(&tree, &path).map(drop);
    }
    if path == b"/" {
        return Ok(());
    }
    match made.directory(&tree, &path) {
        Err(Errno::EXIST) => Ok(()),
        result => result.map_err(FileError::io("mkdir", &path)),
    }
}

/// Writes a file; one that is there keeps its mode.
pub fn mkfile(tree: BorrowedFd<'_>, action: &pb::FileActionMkFile, owner: Option<Owner>) -> Result<()> {
    let tree = Tree { root: tree };
    let path = tree.real_path(action.path.as_bytes(), true)?;
    let error = |what| FileError::io(what, &path);
    let existing = tree.stat(&path)?;
    // Opening a device or a pipe of an image could do anything.
    if existing.as_ref().is_some_and(|stat| !is_directory(stat) && kind(stat) != FileType::RegularFile) {
        return Err(FileError::NotAFile(String::from_utf8_lossy(&path).into_owned()));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file: std::fs::File =
        tree.open_new(&path, flags, Mode::from_raw_mode(0o600)).map_err(error("open"))?.into();
    let written = file.write_all(&action.data);
    written.map_err(|source| FileError::Io {
        what: "write",
        path: String::from_utf8_lossy(&path).into(),
        source,
    })?;
    if let Some(owner) = owner {
        chown(&file, owner).map_err(error("chown"))?;
    }
    if existing.is_none() {
        chmod(&file, action.mode as u32 & 0o777).map_err(error("chmod"))?;
    }
    if let Some(time) = timestamp(action.timestamp) {
        rustix::fs::futimens(&file, &both(time)).map_err(error("utime"))?;
    }
    Ok(())
}

/// Makes a symlink; nothing may be there.
pub fn symlink(tree: BorrowedFd<'_>, action: &pb::FileActionSymlink, owner: Option<Owner>) -> Result<()> {
    let tree = Tree { root: tree };
    let path = tree.real_path(action.newpath.as_bytes(), true)?;
    let error = |what| FileError::io(what, &path);
    if path == b"/" {
        return Err(error("symlink")(Errno::EXIST));
    }
    let (parent, name) = tree.parent_of(&path).map_err(error("symlink"))?;
    rustix::fs::symlinkat(&action.oldpath, &parent, name).map_err(error("symlink"))?;
    if let Some(owner) = owner {
        chown_at(&parent, name, owner).map_err(error("lchown"))?;
    }
    if let Some(time) = timestamp(action.timestamp) {
        set_times_at(&parent, name, &both(time)).map_err(error("utime"))?;
    }
    Ok(())
}

/// What a new directory gets.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) mode: u32,
    pub(super) owner: Option<Owner>,
    pub(super) time: Option<Timespec>,
}

impl Made {
    /// Makes the directory at a path without links, and those above it that are missing. Returns the
    /// new ones, outermost first.
    pub(super) fn directory_and_parents(&self, tree: &Tree<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut missing = Vec::new();
        let mut path = path.to_vec();
        loop {
            match tree.stat(&path) {
                Ok(Some(stat)) if is_directory(&stat) => break,
                Ok(Some(_)) => return Err(FileError::io("mkdir", &path)(Errno::NOTDIR)),
                Ok(None) => {}
                // Something above is no directory; it will be told by its own name.
                Err(FileError::Io { source, .. })
                    if source.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
            let parent = lexical::parent(&path);
            missing.push(std::mem::replace(&mut path, parent));
        }
        missing.reverse();
        for path in &missing {
            self.directory(tree, path).map_err(FileError::io("mkdir", path))?;
        }
        Ok(missing)
    }

    fn directory(&self, tree: &Tree<'_>, path: &[u8]) -> rustix::io::Result<()> {
        let (parent, name) = tree.parent_of(path)?;
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700))?;
        let directory = directory_at(&parent, name)?;
        if let Some(owner) = self.owner {
            chown(&directory, owner)?;
        }
        chmod(&directory, self.mode)?;
        if let Some(time) = self.time {
            rustix::fs::futimens(&directory, &both(time))?;
        }
        Ok(())
    }

    /// Sets the time again after something was put into the new directories.
    pub(super) fn restore_times(&self, tree: &Tree<'_>, made: &[Vec<u8>]) -> Result<()> {
        let Some(time) = self.time else { return Ok(()) };
        for path in made.iter().rev() {
            let set = tree.directory(path).and_then(|directory| rustix::fs::futimens(directory, &both(time)));
            set.map_err(FileError::io("utime", path))?;
        }
        Ok(())
    }
}
