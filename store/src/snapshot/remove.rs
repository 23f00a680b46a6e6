//! Removing trees: first out of the way by one rename, then file by file.
//!
//! A name that is gone stays gone when the process dies in the middle; what it left in the bin is removed at
//! the next open. Trees come from builds: nothing here follows a symlink, and directories without
//! permissions are opened up on the way (which matters without CAP_DAC_OVERRIDE).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::SnapshotId;
use crate::error::{At as _, Error, Result, if_exists};
use crate::fault::{self, Point};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory where what is thrown away waits for its end.
#[derive(Clone)]
pub struct Bin {
    inner: Arc<BinInner>,
}

struct BinInner {
    directory: PathBuf,
    next: AtomicU64,
}

impl Bin {
    pub fn open(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).at("create", directory)?;
        Ok(Self { inner: Arc::new(BinInner { directory: directory.into(), next: AtomicU64::new(0) }) })
    }

    /// Moves `path` away and then removes it. Fine if it does not exist.
    pub fn throw(&self, path: &Path) -> Result<()> {
        match self.hide(path)? {
            Some(hidden) => remove_tree(&hidden),
            None => Ok(()),
        }
    }

    /// Moves `path` away; [`empty`](Self::empty) or the next open removes it.
    pub fn hide(&self, path: &Path) -> Result<Option<PathBuf>> {
        loop {
            let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
            let hidden = self.inner.directory.join(number.to_string());
            // A name left over from before a crash is passed over: an empty directory would be replaced.
            if hidden.symlink_metadata().is_ok() {
                continue;
            }
            fault::pass(Point::BinRename).at("move away", path)?;
            return if_exists(std::fs::rename(path, &hidden).at("move away", path))
                .map(|moved| moved.map(|()| hidden));
        }
    }

    /// Removes all that was left behind, for as long as `go_on` says so.
    pub fn empty(&self, go_on: impl Fn() -> bool) -> Result<()> {
        let directory = &self.inner.directory;
        for entry in std::fs::read_dir(directory).at("list", directory)?.take_while(|_| go_on()) {
            remove_tree(&entry.at("list", directory)?.path())?;
        }
        Ok(())
    }
}

/// Removes the file or tree at `path`; fine if it does not exist.
pub fn remove_tree(path: &Path) -> Result<()> {
    fault::pass(Point::TreeRemove).at("remove", path)?;
    match fs::unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(Error::io("remove", path, error)),
    }
    let Some(directory) = if_exists(open_directory(CWD.as_fd(), path).at("open", path))? else {
        return Ok(());
    };
    empty_directory(directory).at("remove files in", path)?;
    remove_empty(CWD.as_fd(), path).at("remove", path)
}

/// Two may remove the same tree at once: what is gone is gone.
fn remove_empty<P: rustix::path::Arg>(parent: BorrowedFd<'_>, name: P) -> rustix::io::Result<()> {
    fault::pass(Point::TreeRemove)?;
    match fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// A tree may be deeper than descriptors can be open: what lies deeper than this is moved up first.
const DEEPEST: usize = 40;

/// Removes all in `directory`, keeping a stack of its own: trees can be deeper than a thread's stack.
fn empty_directory(directory: OwnedFd) -> rustix::io::Result<()> {
    let mut moved = 0;
    loop {
        let before = moved;
        let top = fs::openat(&directory, c".", DIRECTORY, Mode::empty())?;
        empty_levels(directory.as_fd(), top, &mut moved)?;
        if moved == before {
            return Ok(());
        }
    }
}

fn empty_levels(top: BorrowedFd<'_>, directory: OwnedFd, moved: &mut u32) -> rustix::io::Result<()> {
    let mut open = vec![Level { names: Dir::new(directory)?, own_name: None }];
    while let Some(level) = open.last_mut() {
        let Some(entry) = level.names.read() else {
            let own_name = open.pop().and_then(|level| level.own_name);
            if let (Some(name), Some(parent)) = (own_name, open.last()) {
                remove_empty(parent.names.fd()?, name.as_c_str())?;
            }
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let depth = open.len();
        let Some(level) = open.last() else { continue };
        let parent = level.names.fd()?;
        if remove_file(parent, name, entry.file_type())? {
            continue;
        }
        if depth >= DEEPEST {
            move_up(parent, name, top, moved)?;
            continue;
        }
        let child = match open_directory(parent, name) {
            Err(Errno::NOENT) => continue,
            child => child?,
        };
        open.push(Level { names: Dir::new(child)?, own_name: Some(name.to_owned()) });
    }
    Ok(())
}

/// Moves a directory to the top, where the next round finds it.
fn move_up(
    parent: BorrowedFd<'_>,
    name: &CStr,
    top: BorrowedFd<'_>,
    moved: &mut u32,
) -> rustix::io::Result<()> {
    loop {
        *moved += 1;
        match fs::renameat(parent, name, top, format!(".deep-{moved}")) {
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            Err(Errno::NOENT) => return Ok(()),
            result => return result,
        }
    }
}

struct Level {
    names: Dir,
    own_name: Option<std::ffi::CString>,
}

/// Whether it was a file, and so is gone.
fn remove_file(parent: BorrowedFd<'_>, name: &CStr, kind: FileType) -> rustix::io::Result<bool> {
    if kind == FileType::Directory {
        return Ok(false);
    }
    fault::pass(Point::TreeRemove)?;
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_directory<P: rustix::path::Arg + Copy>(
    parent: BorrowedFd<'_>,
    name: P,
) -> rustix::io::Result<OwnedFd> {
    match fs::openat(parent, name, DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            fs::openat(parent, name, DIRECTORY, Mode::empty())
        }
        opened => opened,
    }
}

/// The snapshots that have a directory in `root`; other names are none of ours and stay.
pub(crate) fn list(root: &Path) -> Result<Vec<SnapshotId>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(root).at("list", root)? {
        let name = entry.at("list", root)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.parse::<SnapshotId>().ok()));
    }
    Ok(ids)
}
