//! Space kept for making space: on a disk that is full to the last block not even a deletion could be noted.
//!
//! A file of [`SIZE`] bytes is allocated in the root. Pruning gives it up first when there is less than that
//! left, and takes it back afterwards.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::fault::{self, Point};

/// Enough for the log of many thousand deletions.
const SIZE: u64 = 4 << 20;

pub(crate) struct Reserve {
    path: PathBuf,
}

/// Given up for as long as this lives.
pub(crate) struct GivenUp<'a> {
    reserve: &'a Reserve,
}

impl Reserve {
    pub(super) fn open(root: &Path) -> Self {
        let reserve = Self { path: root.join("reserve") };
        reserve.take();
        reserve
    }

    /// Makes the space available if there is hardly any other.
    pub(crate) fn give_up_if_needed(&self) -> GivenUp<'_> {
        let stat = self.path.parent().map(rustix::fs::statvfs);
        if let Some(Ok(stat)) = stat
            && stat.f_bavail.saturating_mul(stat.f_frsize) < SIZE
            && fault::pass(Point::ReserveGive).is_ok()
            && std::fs::remove_file(&self.path).is_ok()
        {
            tracing::warn!(path = %self.path.display(), "the disk is full: using the space reserved for pruning");
        }
        GivenUp { reserve: self }
    }

    /// Allocates the space if it is not. Where that fails, on a full or an odd filesystem, pruning may fail on
    /// a full disk, nothing else.
    fn take(&self) {
        if self.path.metadata().is_ok_and(|meta| meta.len() == SIZE) {
            return;
        }
        let taken = fault::pass(Point::ReserveTake)
            .map_err(std::io::Error::from)
            .and_then(|()| File::create(&self.path))
            .and_then(|file| Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE)?));
        if let Err(error) = taken {
            tracing::debug!(path = %self.path.display(), %error, "no space could be reserved for pruning");
            // Nothing is in it; what is left of it does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.reserve.take();
    }
}
