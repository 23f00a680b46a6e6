//! Blobs after a crash, and blobs that nobody wants any more.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use slipway_model::BlobDigest;

use super::{Blobs, Unnamed, table, unlink};
use crate::error::{At as _, Result, if_exists};
use crate::metadata::Recovery;

impl Blobs {
    /// Removes what a crash left: unfinished blobs, files without a row, rows without a whole file.
    pub(crate) fn recover(&self, recovery: Recovery) -> Result<()> {
        let inner = &self.inner;
        for entry in std::fs::read_dir(&inner.unfinished).at("list", &inner.unfinished)? {
            let path = entry.at("list", &inner.unfinished)?.path();
            unlink(&path)?;
        }
        if !recovery.unclean {
            return Ok(());
        }
        let mark = inner.metadata.mark();
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
        let leftovers: Vec<_> =
            files_of(&self.inner.directory)?.into_iter().filter(|path| !whole.contains(path)).collect();
        if !leftovers.is_empty() {
            inner.metadata.flush_durable(mark)?;
        }
        leftovers.iter().try_for_each(|path| unlink(path))
    }

    /// Removes files without a row while others write blobs: theirs are held. Always looks at all.
    pub(crate) fn sweep(&self) -> Result<bool> {
        for path in files_of(&self.inner.directory)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Ok(digest) = format!("sha256:{name}").parse::<BlobDigest>() {
                self.remove_file(&digest)?;
            }
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
        let path = self.file(digest)?;
        self.inner.leases.while_still(|held| {
            if held(digest) {
                // Being stored again: it gets its row when its file has been renamed over this one.
                return Ok(());
            }
            if self.size(digest)?.is_some() {
                return Ok(());
            }
            if_exists(unlink(&path)).map(|_| ())
        })
    }
}

/// All files below `top` that are, or are named like, blobs.
pub(crate) fn files_of(top: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for directory in std::fs::read_dir(top).at("list", top)? {
        let directory = directory.at("list", top)?.path();
        for entry in std::fs::read_dir(&directory).at("list", &directory)? {
            files.push(entry.at("list", &directory)?.path());
        }
    }
    Ok(files)
}
