//! A tree copied as it is: contents, owners, modes, times, xattrs, hard links among its files, symlinks,
//! devices, holes.
//!
//! Walks by directory descriptors, so no symlink of the tree is ever followed. Contents are shared where the
//! filesystem can (`FICLONE`), else copied inside the kernel, data ranges only.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    self, AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid,
};
use rustix::io::{Errno, Result};

use super::below::Below;
use super::xattr;
use crate::error::At as _;
use crate::fault::{self, Point};

pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Copies the directory `from` onto the existing, empty directory `to`.
pub fn copy_tree(from: &Path, to: &Path) -> crate::error::Result<()> {
    let source = fs::openat(CWD, from, DIRECTORY, Mode::empty()).at("open", from)?;
    copy_tree_from(source.as_fd(), to)
}

/// Copies the directory open as `from` onto the existing, empty directory `to`.
pub fn copy_tree_from(from: BorrowedFd<'_>, to: &Path) -> crate::error::Result<()> {
    let source = fs::openat(from, c".", DIRECTORY, Mode::empty()).at("open the source of", to)?;
    let target = fs::openat(CWD, to, DIRECTORY, Mode::empty()).at("open", to)?;
    Copy { links: HashMap::new(), link: false }.run(source, target, None).at("copy to", to)
}

/// [`copy_tree`] of an overlay's upper directory, whiteouts and all, in which everything but directories is another
/// name of what it is in `from`, where the filesystem allows that. Neither may be written again: only replaced.
///
/// `below` is the tree that `from` changes. An opaque directory becomes one with a whiteout for each name that it hides
/// there: the mark itself would hide what is in the tree that `to` changes, of which `from` knew nothing.
pub(crate) fn link_tree(from: &Path, to: &Path, below: Option<BorrowedFd<'_>>) -> crate::error::Result<()> {
    let source = fs::openat(CWD, from, DIRECTORY, Mode::empty()).at("open", from)?;
    let target = fs::openat(CWD, to, DIRECTORY, Mode::empty()).at("open", to)?;
    let below = below.map(|below| fs::openat(below, c".", DIRECTORY, Mode::empty()));
    let below = below.transpose().at("open what is below", from)?;
    Copy { links: HashMap::new(), link: true }.run(source, target, below).at("link to", to)
}

/// Gives all directories of `to`, a copy of `from` that another program made, the attributes that they have in `from`:
/// who copies a directory before what is in it changes its times afterwards.
pub fn finish_copy(from: &Path, to: &Path) -> crate::error::Result<()> {
    let source = fs::openat(CWD, from, DIRECTORY, Mode::empty()).at("open", from)?;
    let target = fs::openat(CWD, to, DIRECTORY, Mode::empty()).at("open", to)?;
    finish_directories(source, target).at("set the attributes of directories in", to)
}

fn finish_directories(source: OwnedFd, target: OwnedFd) -> Result<()> {
    let mut open = vec![(Dir::new(source)?, target)];
    while let Some((source, target)) = open.last_mut() {
        let Some(entry) = source.read() else {
            finish_directory(source.fd()?, target.as_fd())?;
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." || !is_directory(source.fd()?, &entry)? {
            continue;
        }
        let below = fs::openat(source.fd()?, name, DIRECTORY, Mode::empty())?;
        let copy = fs::openat(&*target, name, DIRECTORY, Mode::empty())?;
        open.push((Dir::new(below)?, copy));
    }
    Ok(())
}

fn is_directory(parent: BorrowedFd<'_>, entry: &fs::DirEntry) -> Result<bool> {
    let kind = match entry.file_type() {
        FileType::Unknown => {
            let stat = fs::statat(parent, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            FileType::from_raw_mode(stat.st_mode)
        }
        kind => kind,
    };
    Ok(kind == FileType::Directory)
}

/// Gives the directory `to` the owner, mode, times and xattrs of `from`.
pub fn copy_directory_attributes(from: &Path, to: &Path) -> crate::error::Result<()> {
    let source = fs::openat(CWD, from, DIRECTORY, Mode::empty()).at("open", from)?;
    let target = fs::openat(CWD, to, DIRECTORY, Mode::empty()).at("open", to)?;
    finish_directory(source.as_fd(), target.as_fd()).at("set the attributes of", to)
}

/// Sets a mode that no umask takes from.
pub(super) fn set_mode(path: &Path, mode: u32) -> crate::error::Result<()> {
    fs::chmod(path, Mode::from_raw_mode(mode)).at("set the mode of", path)
}

struct Copy {
    /// Where the first name of a file with several was copied to: its directory and name.
    links: HashMap<(u64, u64), (std::rc::Rc<OwnedFd>, CString)>,
    /// Give files another name, if that can be, instead of copying them.
    link: bool,
}

struct Level {
    source: Dir,
    target: std::rc::Rc<OwnedFd>,
    below: Below,
}

impl Copy {
    fn run(&mut self, source: OwnedFd, target: OwnedFd, below: Option<OwnedFd>) -> Result<()> {
        let below = Below { directory: below, is_hidden: false };
        let mut open = vec![Level { source: Dir::new(source)?, target: std::rc::Rc::new(target), below }];
        while let Some(level) = open.last_mut() {
            let Some(entry) = level.source.read() else {
                level.below.white_out(level.source.fd()?, level.target.as_fd())?;
                finish_directory(level.source.fd()?, level.target.as_fd())?;
                open.pop();
                continue;
            };
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let (source, target) = (level.source.fd()?, level.target.clone());
            if let Some(child) = self.entry(source, &target, &level.below, name)? {
                open.push(child);
            }
        }
        Ok(())
    }

    /// Copies one name; answers with the level to go down to if it is a directory.
    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: &std::rc::Rc<OwnedFd>,
        below: &Below,
        name: &CStr,
    ) -> Result<Option<Level>> {
        fault::pass(Point::TreeCopy)?;
        let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            fs::mkdirat(to, name, Mode::RWXU)?;
            let source = fs::openat(from, name, DIRECTORY, Mode::empty())?;
            let target = fs::openat(to, name, DIRECTORY, Mode::empty())?;
            let below = below.of(name, source.as_fd())?;
            return Ok(Some(Level { source: Dir::new(source)?, target: std::rc::Rc::new(target), below }));
        }
        if self.link {
            match fs::linkat(from, name, to, name, AtFlags::empty()) {
                // It has as many names as it may have, or is not ours to name.
                Err(Errno::MLINK | Errno::XDEV | Errno::PERM) => {}
                linked => return linked.map(|()| None),
            }
        }
        if stat.st_nlink > 1 {
            let file = (stat.st_dev, stat.st_ino);
            if let Some((directory, first)) = self.links.get(&file) {
                fs::linkat(directory, first, to, name, AtFlags::empty())?;
                return Ok(None);
            }
            self.links.insert(file, (to.clone(), name.to_owned()));
        }
        match kind {
            FileType::RegularFile => copy_file(from, to.as_fd(), name, &stat)?,
            FileType::Symlink => {
                let text = fs::readlinkat(from, name, Vec::new())?;
                fs::symlinkat(&text, to, name)?;
            }
            _ => fs::mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode & 0o7777), stat.st_rdev)?,
        }
        fs::chownat(to, name, owner(&stat), group(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
        if kind != FileType::Symlink {
            // After the owner: changing it clears set-user-id.
            fs::chmodat(to, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
        }
        xattr::copy(from, name, to.as_fd(), name)?;
        fs::utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(None)
    }
}

fn owner(stat: &Stat) -> Option<Uid> {
    Some(Uid::from_raw(stat.st_uid))
}

fn group(stat: &Stat) -> Option<Gid> {
    Some(Gid::from_raw(stat.st_gid))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as i64 };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Attributes of a directory go last: filling it changes its times, and its mode may forbid filling it.
fn finish_directory(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let stat = fs::fstat(source)?;
    fs::fchown(target, owner(&stat), group(&stat))?;
    fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    xattr::copy(source, c".", target, c".")?;
    fs::futimens(target, &times(&stat))
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = File::from(fs::openat(from, name, read, Mode::empty())?);
    let target = File::from(fs::openat(to, name, write, Mode::RUSR | Mode::WUSR)?);
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    if length > 0 && fs::ioctl_ficlone(&target, &source).is_err() {
        copy_ranges(&source, &target, length)?;
        fs::ftruncate(&target, length)?;
    }
    Ok(())
}

/// Copies what is data and leaves the holes.
fn copy_ranges(source: &File, target: &File, length: u64) -> Result<()> {
    let mut at = 0;
    while at < length {
        let start = match fs::seek(source, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(()),
            Err(Errno::INVAL | Errno::NOTSUP) => at,
            start => start?,
        };
        let end = match fs::seek(source, SeekFrom::Hole(start)) {
            Err(Errno::INVAL | Errno::NOTSUP) => length,
            end => end?,
        };
        copy_range(source, target, start, end)?;
        at = end;
    }
    Ok(())
}

fn copy_range(source: &File, target: &File, start: u64, end: u64) -> Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let wanted = usize::try_from(end - from).unwrap_or(usize::MAX).min(1 << 30);
        match fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), wanted) {
            // The file became shorter meanwhile.
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                return copy_through_memory(source, target, from, end);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Between filesystems that do not know each other.
fn copy_through_memory(source: &File, target: &File, mut at: u64, end: u64) -> Result<()> {
    let mut buffer = vec![0; 1 << 18];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let length = rustix::io::pread(source, &mut buffer[..wanted], at)?;
        if length == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < length {
            written += rustix::io::pwrite(target, &buffer[written..length], at + written as u64)?;
        }
        at += length as u64;
    }
    Ok(())
}
