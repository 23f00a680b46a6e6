//! One process per root: an advisory lock on `root/lock`, which also tells who holds it.
//!
//! `flock` is bound to the open file, so a second open in the same process is refused as well, and a killed
//! process leaves nothing behind.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{At as _, Error, Result};

pub(super) struct RootLock {
    _file: File,
}

/// Creates `root` for its owner alone and locks it.
pub(super) fn take(root: &Path) -> Result<RootLock> {
    DirBuilder::new().recursive(true).mode(0o700).create(root).at("create", root)?;
    std::fs::set_permissions(root, Permissions::from_mode(0o700)).at("set the mode of", root)?;
    let path = root.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .at("open", &path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(Error::Locked { root: root.into(), pid: holder(&mut file) }),
        Err(error) => return Err(Error::io("lock", path, error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .at("write", &path)?;
    Ok(RootLock { _file: file })
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
