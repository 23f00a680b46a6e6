//! Walking a tree in transfer order, through directory descriptors only.

use std::collections::HashMap;
use std::ffi::CString;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags};
use slipway_proto::fsutil::Stat;

use super::filter::{Filter, Found, Verdict};
use super::mode;
use super::xattrs::Reader;
use crate::{Error, Result};

/// Calls `visit` for every file that passes `filter`; its directories always come before it.
///
/// A second name of an inode that was already visited gets that first name as `linkname`.
pub fn walk(root: BorrowedFd<'_>, filter: &Filter, visit: &mut dyn FnMut(Stat) -> Result<()>) -> Result<()> {
    let root = open_directory(root, c".", "")?;
    let mut walker =
        Walker { filter, visit, pending: Vec::new(), inodes: HashMap::new(), xattrs: Reader::new() };
    walker.directory(&root, "", &Found::default())
}

struct Walker<'a> {
    filter: &'a Filter,
    visit: &'a mut dyn FnMut(Stat) -> Result<()>,
    /// Directories that are only sent if something below them is.
    pending: Vec<Stat>,
    /// First names of files with several names.
    inodes: HashMap<(u64, u64), String>,
    xattrs: Reader,
}

impl Walker<'_> {
    fn directory(&mut self, directory: &OwnedFd, path: &str, above: &Found) -> Result<()> {
        for name in sorted_names(directory, path)? {
            // A name that is not UTF-8 cannot be said in this protocol.
            let Ok(text) = name.to_str() else {
                let path = format!("{path}/{}", name.to_string_lossy());
                return Err(Error::Protocol(format!("the name {path:?} is not valid UTF-8")));
            };
            let child = if path.is_empty() { text.to_owned() } else { format!("{path}/{text}") };
            let judged = self.filter.judge(&child, above)?;
            if judged.0 != Verdict::Leave {
                self.entry(directory, &name, child, judged)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: &OwnedFd,
        name: &CString,
        path: String,
        (verdict, found_here): (Verdict, Found),
    ) -> Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let found = match rustix::fs::statx(parent, name, flags, StatxFlags::BASIC_STATS) {
            Ok(found) => found,
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Error::file("stat", &path, error)),
        };
        let kind = FileType::from_raw_mode(found.stx_mode.into());
        let take = verdict == Verdict::Take;
        if kind == FileType::Socket || (!take && kind != FileType::Directory) {
            return Ok(());
        }
        let stat = self.describe(parent, name, &path, &found, kind)?;
        if kind != FileType::Directory {
            return self.send(stat);
        }
        let depth = self.pending.len();
        if take {
            self.send(stat)?;
        } else {
            self.pending.push(stat);
        }
        match open_directory(parent.as_fd(), name, &path) {
            Ok(directory) => self.directory(&directory, &path, &found_here)?,
            Err(error) if take => return Err(error),
            // An unreadable directory that was not asked for itself holds nothing that is.
            Err(_) => {}
        }
        self.pending.truncate(depth);
        Ok(())
    }

    fn send(&mut self, stat: Stat) -> Result<()> {
        for parent in self.pending.drain(..) {
            (self.visit)(parent)?;
        }
        (self.visit)(stat)
    }

    fn describe(
        &mut self,
        parent: &OwnedFd,
        name: &CString,
        path: &str,
        found: &rustix::fs::Statx,
        kind: FileType,
    ) -> Result<Stat> {
        let mut stat = Stat {
            path: path.to_owned(),
            mode: mode::from_unix(found.stx_mode.into()),
            uid: found.stx_uid,
            gid: found.stx_gid,
            mod_time: found.stx_mtime.tv_sec * 1_000_000_000 + i64::from(found.stx_mtime.tv_nsec),
            xattrs: self.xattrs.read(parent, name),
            ..Stat::default()
        };
        match kind {
            FileType::RegularFile => {
                stat.size = found.stx_size as i64;
                if found.stx_nlink > 1 {
                    let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
                    let first = self.inodes.entry((device, found.stx_ino)).or_insert_with(|| path.to_owned());
                    if first != path {
                        stat.linkname = first.clone();
                        stat.size = 0;
                    }
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|error| Error::file("read link", path, error))?;
                stat.linkname = target.to_string_lossy().into_owned();
            }
            FileType::BlockDevice | FileType::CharacterDevice => {
                stat.devmajor = found.stx_rdev_major.into();
                stat.devminor = found.stx_rdev_minor.into();
            }
            _ => {}
        }
        Ok(stat)
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &std::ffi::CStr, path: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|error| Error::file("open", path, error))
}

fn sorted_names(directory: &OwnedFd, path: &str) -> Result<Vec<CString>> {
    let entries = Dir::read_from(directory).map_err(|error| Error::file("read directory", path, error))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::file("read directory", path, error))?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
