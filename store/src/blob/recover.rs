//! Blobs after a crash, and blobs that nobody wants any more.

use std::collections::{HashMap, HashSet};

use slipway_model::BlobDigest;

use super::{Blobs, Unnamed, table};
use crate::error::Result;
use crate::metadata::Recovery;

impl Blobs {
    /// Removes what a crash left: unfinished blobs, files without a row, rows without a whole file.
    pub(crate) fn recover(&self, recovery: Recovery) -> Result<()> {
        let inner = &self.inner;
        inner.content.clear()?;
        if !recovery.unclean {
            return Ok(());
        }
        let mark = inner.metadata.mark();
        if let Some(epoch) = recovery.drop_after {
            for digest in inner.metadata.with(|db| table::newer_than(db, epoch))? {
                self.forget(&digest)?;
            }
        }
        let there: HashMap<_, _> = inner.content.list()?.into_iter().collect();
        let mut whole = HashSet::new();
        for (digest, size) in inner.metadata.with(table::all)? {
            match digest.parse::<BlobDigest>() {
                Ok(digest) if there.get(&digest) == Some(&size) => {
                    whole.insert(digest);
                }
                _ => self.forget(&digest)?,
            }
        }
        let leftovers: Vec<_> = there.into_keys().filter(|digest| !whole.contains(digest)).collect();
        if !leftovers.is_empty() {
            inner.metadata.flush_durable(mark)?;
        }
        leftovers.iter().try_for_each(|digest| inner.content.release(digest))
    }

    /// Removes files without a row while others write blobs: theirs are held. Always looks at all.
    pub(crate) fn sweep(&self) -> Result<bool> {
        for (digest, _) in self.inner.content.list()? {
            self.remove_file(&digest)?;
        }
        Ok(true)
    }

    fn forget(&self, digest: &str) -> Result<()> {
        self.inner.metadata.with(|db| db.execute("DELETE FROM blob WHERE digest = ?1", [digest])).map(|_| ())
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

    /// All blobs that belong to no snapshot.
    pub(crate) fn unnamed(&self) -> Result<Vec<Unnamed>> {
        self.save_uses()?;
        let mut unnamed = self.inner.metadata.with(table::unnamed)?;
        self.inner.leases.while_still(|held| {
            unnamed.iter_mut().for_each(|blob| blob.held = held(&blob.digest));
        });
        Ok(unnamed)
    }

    /// Removes those of `digests` that belong to no snapshot and nobody holds; answers with what went.
    pub(crate) fn remove_if_unnamed(&self, digests: &[BlobDigest]) -> Result<Vec<BlobDigest>> {
        let inner = &self.inner;
        let mark = inner.metadata.mark();
        let removed = inner.leases.while_still(|held| {
            inner.metadata.with(|db| {
                let mut removed = Vec::new();
                for digest in digests {
                    if !held(digest) && table::is_unnamed(db, digest)? && table::delete(db, digest)? {
                        removed.push(*digest);
                    }
                }
                Ok(removed)
            })
        })?;
        if removed.is_empty() {
            return Ok(removed);
        }
        {
            let mut verified = inner.verified.lock();
            verified.retain(|digest| !removed.contains(digest));
        }
        inner.metadata.expecting_leftovers(|| {
            inner.metadata.flush_durable(mark)?;
            removed.iter().try_for_each(|digest| self.remove_file(digest))
        })?;
        Ok(removed)
    }

    /// Removes the file, unless the blob came back meanwhile.
    fn remove_file(&self, digest: &BlobDigest) -> Result<()> {
        self.inner.leases.while_still(|held| {
            if held(digest) {
                // Being stored again: it gets its row when its file has been renamed over this one.
                return Ok(());
            }
            if self.size(digest)?.is_some() {
                return Ok(());
            }
            self.inner.content.release(digest)
        })
    }
}
