//! Blobs after a crash, and blobs that nobody wants any more.

use std::collections::HashSet;
use std::path::Path;

use slipway_model::{BlobDigest, Digest};

use super::{Blobs, Unnamed, table};
use crate::error::{At as _, Result, if_exists};
use crate::metadata::Recovery;

impl Blobs {
    /// Removes what a crash left: unfinished blobs, files without a row, rows without a whole file.
    pub(crate) fn recover(&self, recovery: Recovery) -> Result<()> {
        let inner = &self.inner;
        for entry in std::fs::read_dir(&inner.unfinished).at("list", &inner.unfinished)? {
            let path = entry.at("list", &inner.unfinished)?.path();
            std::fs::remove_file(&path).at("remove", &path)?;
        }
        if !recovery.unclean {
            return Ok(());
        }
        if let Some(epoch) = recovery.drop_after {
            for digest in inner.metadata.with(|db| table::newer_than(db, epoch))? {
                self.forget(&digest)?;
            }
        }
        let mut whole = HashSet::new();
        for (digest, size) in inner.metadata.with(table::all)? {
            match digest.parse::<BlobDigest>().map(|digest| self.file(&digest)) {
                Ok(Ok(path)) if path.metadata().is_ok_and(|meta| meta.len() == size) => {
                    whole.insert(path);
                }
                _ => self.forget(&digest)?,
            }
        }
        inner.metadata.flush_durable()?;
        self.remove_all_but(&|path| whole.contains(path))
    }

    fn forget(&self, digest: &str) -> Result<()> {
        self.inner.metadata.with(|db| db.execute("DELETE FROM blob WHERE digest = ?1", [digest])).map(|_| ())
    }

    fn remove_all_but(&self, keep: &dyn Fn(&Path) -> bool) -> Result<()> {
        let top = &self.inner.directory;
        for directory in std::fs::read_dir(top).at("list", top)? {
            let directory = directory.at("list", top)?.path();
            for entry in std::fs::read_dir(&directory).at("list", &directory)? {
                let path = entry.at("list", &directory)?.path();
                if !keep(&path) {
                    std::fs::remove_file(&path).at("remove", &path)?;
                }
            }
        }
        Ok(())
    }

    /// Writes down which blobs were used.
    pub(crate) fn save_uses(&self) -> Result<()> {
        let used = self.inner.leases.take_used();
        if used.is_empty() {
            return Ok(());
        }
        let now = self.inner.clock.now();
        self.inner.metadata.with(|db| used.iter().try_for_each(|digest| table::used(db, digest, now)))
    }

    /// Removes blobs that no snapshot names, nobody holds, and nobody used since `before` (nanoseconds).
    pub(crate) fn prune_unnamed(&self, before: i64) -> Result<Vec<Unnamed>> {
        self.save_uses()?;
        let inner = &self.inner;
        let removed = inner.leases.while_still(|held| {
            inner.metadata.with(|db| {
                let mut removed = Vec::new();
                for (digest, size) in table::unnamed(db, before)? {
                    let Ok(digest) = digest.parse::<BlobDigest>() else { continue };
                    if matches!(digest.0, Digest::Sha256(_)) && !held(&digest) {
                        table::delete(db, &digest)?;
                        removed.push(Unnamed { digest, size });
                    }
                }
                Ok(removed)
            })
        })?;
        if !removed.is_empty() {
            inner.metadata.flush_durable()?;
        }
        for blob in &removed {
            self.remove_file(&blob.digest)?;
        }
        Ok(removed)
    }

    /// Removes the file, unless the blob came back meanwhile.
    fn remove_file(&self, digest: &BlobDigest) -> Result<()> {
        let path = self.file(digest)?;
        self.inner.leases.while_still(|held| {
            if held(digest) {
                // Being stored again: it gets its row when its file has been renamed over this one.
                return Ok(());
            }
            if self.size(digest)?.is_some() {
                return Ok(());
            }
            if_exists(std::fs::remove_file(&path).at("remove", &path)).map(|_| ())
        })
    }
}
