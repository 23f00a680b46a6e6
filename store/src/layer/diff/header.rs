//! A file's header from its inode: what enters a layer and what does not.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat};

use crate::layer::LayerError;
use crate::layer::tar::entry::{Entry, Kind, Pairs, Time};
use crate::layer::whiteout;

/// The header of `stat`; `None` for sockets, which no layer holds.
pub(super) fn entry(path: &[u8], stat: &Stat, latest_time: Option<i64>) -> Option<Entry> {
    let kind = Kind::of(FileType::from_raw_mode(stat.st_mode))?;
    let mut entry = Entry::new(kind, path);
    if kind == Kind::Directory {
        entry.name.push(b'/');
    }
    entry.mode = stat.st_mode & 0o7777;
    entry.uid = u64::from(stat.st_uid);
    entry.gid = u64::from(stat.st_gid);
    entry.size = if kind == Kind::File { stat.st_size.cast_unsigned() } else { 0 };
    entry.modified = Time { seconds: latest_time.unwrap_or(i64::MAX).min(stat.st_mtime), nanoseconds: 0 };
    if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
        entry.device_major = rustix::fs::major(stat.st_rdev);
        entry.device_minor = rustix::fs::minor(stat.st_rdev);
    }
    Some(entry)
}

/// Capabilities and the user's own attributes; not the overlay's, not the host's (labels, trusted ones).
pub(super) fn xattrs(file: impl AsFd, path: &[u8]) -> Result<Pairs, LayerError> {
    let mut found = Vec::new();
    for name in names(&file, path)?.split(|b| *b == 0) {
        let wanted = name == b"security.capability" || name.starts_with(b"user.");
        if !wanted || whiteout::is_overlay_attribute(name) {
            continue;
        }
        if let Some(value) = value(&file, name, path)? {
            found.push((name.to_vec(), value));
        }
    }
    found.sort();
    Ok(found)
}

/// One attribute; `None` if it is not there.
pub(super) fn value(file: impl AsFd, name: &[u8], path: &[u8]) -> Result<Option<Vec<u8>>, LayerError> {
    // The kernel's bound for a value (XATTR_SIZE_MAX).
    let mut buffer = vec![0u8; 256];
    loop {
        match rustix::fs::fgetxattr(&file, name, &mut buffer[..]) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(rustix::io::Errno::RANGE) if buffer.len() < 1 << 16 => buffer.resize(1 << 16, 0),
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => {
                return Err(LayerError::file("read an extended attribute of", path)(io::Error::from(error)));
            }
        }
    }
}

fn names(file: impl AsFd, path: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut buffer = vec![0u8; 1024];
    loop {
        match rustix::fs::flistxattr(&file, &mut buffer[..]) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(rustix::io::Errno::RANGE) if buffer.len() < 1 << 16 => buffer.resize(1 << 16, 0),
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(LayerError::file("list extended attributes of", path)(error)),
        }
    }
}
