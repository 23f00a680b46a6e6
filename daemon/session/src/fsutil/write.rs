//! Writing files below one directory, without ever following a symlink.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use slipway_proto::fsutil::Stat;

use super::mode;
use crate::{Error, Result};

/// A directory that is being filled.
pub(super) struct Tree {
    root: OwnedFd,
    /// The directory that was used last: files come in runs.
    recent: Option<(String, OwnedFd)>,
    open: HashMap<u32, OwnedFd>,
}

impl Tree {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, recent: None, open: HashMap::new() }
    }

    pub(super) fn directory(&mut self, stat: &Stat) -> Result<()> {
        let (parent, name) = self.parent(&stat.path)?;
        match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| Error::file("stat", &stat.path, error))?;
                if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
                    rustix::fs::unlinkat(parent, name, AtFlags::empty())
                        .map_err(|error| Error::file("remove", &stat.path, error))?;
                    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))
                        .map_err(|error| Error::file("create directory", &stat.path, error))?;
                }
            }
            Err(error) => return Err(Error::file("create directory", &stat.path, error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty())
            .map_err(|error| Error::file("open", &stat.path, error))?;
        apply(&fd, stat)?;
        self.recent = Some((stat.path.clone(), fd));
        Ok(())
    }

    pub(super) fn symlink(&mut self, stat: &Stat) -> Result<()> {
        self.replace(stat, |parent, name| rustix::fs::symlinkat(&*stat.linkname, parent, name))
    }

    pub(super) fn special(&mut self, stat: &Stat) -> Result<()> {
        let kind = mode::file_type(stat.mode);
        let permissions = Mode::from_raw_mode(mode::permissions(stat.mode));
        let number = |part: i64| u32::try_from(part).unwrap_or(0);
        let device = match kind {
            FileType::BlockDevice | FileType::CharacterDevice => {
                rustix::fs::makedev(number(stat.devmajor), number(stat.devminor))
            }
            FileType::Fifo => 0,
            _ => return Err(Error::Protocol(format!("unsupported file type of {:?}", stat.path))),
        };
        self.replace(stat, |parent, name| rustix::fs::mknodat(parent, name, kind, permissions, device))
    }

    pub(super) fn link(&mut self, stat: &Stat) -> Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let target = rustix::fs::openat2(&self.root, &*stat.linkname, flags, Mode::empty(), resolve)
            .map_err(|error| Error::file("find link target of", &stat.path, error))?;
        let target = format!("/proc/self/fd/{}", target.as_raw_fd());
        let (parent, name) = self.parent(&stat.path)?;
        let make = || rustix::fs::linkat(rustix::fs::CWD, &*target, parent, name, AtFlags::SYMLINK_FOLLOW);
        let made = match make() {
            Err(Errno::EXIST) => remove_at(parent, name).and_then(|()| make()),
            other => other,
        };
        made.map_err(|error| Error::file("link", &stat.path, error))
    }

    /// Adds bytes to the file that `id` asked for; creates it with the first ones.
    pub(super) fn append(&mut self, id: u32, stat: &Stat, mut bytes: &[u8]) -> Result<()> {
        if !self.open.contains_key(&id) {
            let file = self.create(stat)?;
            self.open.insert(id, file);
        }
        let file = &self.open[&id];
        while !bytes.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(file, bytes))
                .map_err(|error| Error::file("write", &stat.path, error))?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    pub(super) fn complete(&mut self, id: u32, stat: &Stat) -> Result<()> {
        let file = match self.open.remove(&id) {
            Some(file) => file,
            None => self.create(stat)?,
        };
        apply(&file, stat)
    }

    fn create(&mut self, stat: &Stat) -> Result<OwnedFd> {
        let (parent, name) = self.parent(&stat.path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600));
        let made = match create() {
            Err(Errno::EXIST) => remove_at(parent, name).and_then(|()| create()),
            other => other,
        };
        made.map_err(|error| Error::file("create", &stat.path, error))
    }

    fn replace(
        &mut self,
        stat: &Stat,
        make: impl Fn(&OwnedFd, &str) -> rustix::io::Result<()>,
    ) -> Result<()> {
        let (parent, name) = self.parent(&stat.path)?;
        let made = match make(parent, name) {
            Err(Errno::EXIST) => remove_at(parent, name).and_then(|()| make(parent, name)),
            other => other,
        };
        made.map_err(|error| Error::file("create", &stat.path, error))?;
        let owner = (rustix::fs::Uid::from_raw(stat.uid), rustix::fs::Gid::from_raw(stat.gid));
        rustix::fs::chownat(parent, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| Error::file("change owner of", &stat.path, error))?;
        rustix::fs::utimensat(parent, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| Error::file("set time of", &stat.path, error))
    }

    pub(super) fn remove(&mut self, path: &str) -> Result<()> {
        self.recent = None;
        let (parent, name) = self.parent(path)?;
        match remove_at(parent, name) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::file("remove", path, error)),
        }
    }

    pub(super) fn set_directory_times(&mut self, stat: &Stat) -> Result<()> {
        let (parent, name) = self.parent(&stat.path)?;
        rustix::fs::utimensat(parent, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| Error::file("set time of", &stat.path, error))
    }

    /// The open directory that holds `path`, and its last component.
    fn parent<'a>(&mut self, path: &'a str) -> Result<(&OwnedFd, &'a str)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if directory.is_empty() {
            return Ok((&self.root, name));
        }
        if self.recent.as_ref().is_none_or(|(recent, _)| recent != directory) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let fd = rustix::fs::openat2(&self.root, directory, flags, Mode::empty(), resolve)
                .map_err(|error| Error::file("open", directory, error))?;
            self.recent = Some((directory.to_owned(), fd));
        }
        match &self.recent {
            Some((_, fd)) => Ok((fd, name)),
            None => Ok((&self.root, name)),
        }
    }
}

/// Owner before mode, because changing the owner drops setuid; times last.
fn apply(fd: &OwnedFd, stat: &Stat) -> Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(stat.uid), rustix::fs::Gid::from_raw(stat.gid));
    rustix::fs::fchown(fd, Some(uid), Some(gid))
        .map_err(|error| Error::file("change owner of", &stat.path, error))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode::permissions(stat.mode)))
        .map_err(|error| Error::file("change mode of", &stat.path, error))?;
    for (key, value) in &stat.xattrs {
        match rustix::fs::fsetxattr(fd, key.as_str(), value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(error) => return Err(Error::file("set attribute of", &stat.path, error)),
        }
    }
    rustix::fs::futimens(fd, &times(stat)).map_err(|error| Error::file("set time of", &stat.path, error))
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.mod_time.div_euclid(1_000_000_000),
        tv_nsec: stat.mod_time.rem_euclid(1_000_000_000) as _,
    };
    Timestamps { last_access: time, last_modification: time }
}

/// Removes a file or a whole directory.
fn remove_at(parent: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return other,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(directory.as_fd())? {
        let entry = entry?;
        let child = entry.file_name();
        if !matches!(child.to_bytes(), b"." | b"..") {
            let child = child.to_str().map_err(|_| Errno::ILSEQ)?;
            remove_at(&directory, child)?;
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
