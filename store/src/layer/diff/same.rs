//! Are two files the same as far as a layer can tell?
//!
//! Metadata first. Times are compared to the nanosecond, and directories' own times do not count: they change with every
//! file inside. Where all of that is equal, content decides if
//!
//! - the times have no nanoseconds: one of them was unpacked from a layer, which keeps whole seconds only, or
//! - somebody wrote the file ([`Written`]): the kernel's clock ticks every few milliseconds, in which two files of equal
//!   length are soon made. Elsewhere, where whole trees are compared, this would be to read all of both.

use std::fs::File;
use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat, openat, readlinkat};

use super::header;
use crate::layer::LayerError;

/// One of the two: its directory, its name there, its inode.
pub(super) struct Side<'a> {
    pub(super) directory: BorrowedFd<'a>,
    pub(super) name: &'a [u8],
    pub(super) stat: &'a Stat,
}

/// Whether it is known that the one was written after the other, if only to copy it up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Surely,
    Perhaps,
}

pub(super) fn is_same(
    one: &Side<'_>,
    two: &Side<'_>,
    written: Written,
    path: &[u8],
) -> Result<bool, LayerError> {
    let (a, b) = (one.stat, two.stat);
    if a.st_dev == b.st_dev && a.st_ino == b.st_ino {
        return Ok(true);
    }
    if a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_rdev != b.st_rdev {
        return Ok(false);
    }
    match FileType::from_raw_mode(a.st_mode) {
        FileType::Directory => same_attributes(&one.open(path)?, &two.open(path)?, path),
        _ if !same_times(a, b) || a.st_size != b.st_size => Ok(false),
        FileType::RegularFile => {
            let (one, two) = (one.open(path)?, two.open(path)?);
            let content_decides = (written == Written::Surely || a.st_mtime_nsec == 0) && a.st_size > 0;
            Ok(same_attributes(&one, &two, path)? && (!content_decides || same_content(one, two, path)?))
        }
        FileType::Symlink => Ok(one.target(path)? == two.target(path)?),
        _ => Ok(true),
    }
}

impl Side<'_> {
    fn open(&self, path: &[u8]) -> Result<OwnedFd, LayerError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(self.directory, self.name, flags, Mode::empty()).map_err(LayerError::file("open", path))
    }

    fn target(&self, path: &[u8]) -> Result<Vec<u8>, LayerError> {
        let target = readlinkat(self.directory, self.name, Vec::new());
        Ok(target.map_err(LayerError::file("read the link", path))?.into_bytes())
    }
}

fn same_times(a: &Stat, b: &Stat) -> bool {
    a.st_mtime == b.st_mtime && a.st_mtime_nsec == b.st_mtime_nsec
}

fn same_attributes(one: &OwnedFd, two: &OwnedFd, path: &[u8]) -> Result<bool, LayerError> {
    Ok(header::xattrs(one, path)? == header::xattrs(two, path)?)
}

fn same_content(one: OwnedFd, two: OwnedFd, path: &[u8]) -> Result<bool, LayerError> {
    const STEP: usize = 64 << 10;
    let (mut one, mut two) = (File::from(one), File::from(two));
    let (mut a, mut b) = (Vec::with_capacity(STEP), Vec::with_capacity(STEP));
    loop {
        for (file, buffer) in [(&mut one, &mut a), (&mut two, &mut b)] {
            buffer.clear();
            file.take(STEP as u64).read_to_end(buffer).map_err(LayerError::file("read", path))?;
        }
        if a != b || a.is_empty() {
            return Ok(a == b);
        }
    }
}
