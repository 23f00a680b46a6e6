//! One process per root: an advisory lock on `root/lock`, which also tells who holds it.
//!
//! `flock` is bound to the open file, so a second open in the same process is refused as well, and a killed
//! process leaves nothing behind. A child that is between fork and exec holds all files of its parent, so
//! the lock is given back by name, and one that a killed process's child holds is waited for a little.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{At as _, Error, Result};

/// How often, and after which pauses, a lock held by another is tried.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

pub(crate) struct RootLock {
    file: File,
}

impl RootLock {
    /// Creates `root` for its owner alone and locks it.
    pub(crate) fn take(root: &Path) -> Result<Self> {
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
        match lock(&file) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::Locked { root: root.into(), pid: holder(&mut file) });
            }
            Err(error) => return Err(Error::io("lock", path, error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .at("write", &path)?;
        Ok(Self { file })
    }
}

impl Drop for RootLock {
    fn drop(&mut self) {
        // Closing the file would do, if no child were about to exec.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn lock(file: &File) -> rustix::io::Result<()> {
    for _ in 1..TRIES {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
