//! Bytes by their digest.
//!
//! A blob is written once, hashed while it is written, and gets its name when it is whole. It has a row in
//! the database with the epoch it was made in, as it is not fsynced by itself (see [`crate::metadata`]). A
//! blob without a row, left by a crash in between, is removed at the next open.
//!
//! Where the bytes are is behind [`Content`]: files below the root (`files`), unless the store was opened on a
//! [`crate::Backend`] of somebody else.
//!
//! Which blobs belong to which snapshot is told by [`crate::refs::LayerFacts`]; a blob that nobody names and
//! nobody holds ([`BlobLease`]) is removed by [`crate::Store::prune`].

mod content;
mod files;
mod ingest;
mod lease;
mod recover;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_model::{BlobDigest, Digest, Hasher};

use crate::error::{At as _, Error, Result};
use crate::metadata::Metadata;
use crate::store::Clock;
pub use content::{Content, Writing};
pub(crate) use files::{Files, file_of, files_of};
pub use ingest::{Ingest, StoredBlob};
pub use lease::BlobLease;

/// The blobs of a store. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

struct Inner {
    content: Arc<dyn Content>,
    metadata: Metadata,
    clock: Clock,
    leases: lease::Leases,
    /// Those that this process has hashed, when they came in or before they went out.
    verified: Mutex<HashSet<BlobDigest>>,
}

impl Blobs {
    pub(crate) fn open_store(content: Arc<dyn Content>, metadata: Metadata, clock: Clock) -> Self {
        let verified = Mutex::default();
        Self { inner: Arc::new(Inner { content, metadata, clock, leases: Default::default(), verified }) }
    }

    /// The blob, for reading; `None` if it is not here. Its size was compared with the one it was stored with.
    pub fn open(&self, digest: &BlobDigest) -> Result<Option<File>> {
        check_algorithm(digest)?;
        let Some(expected) = self.size_or_adopt(digest)? else { return Ok(None) };
        let Some(file) = self.inner.content.open(digest)? else { return Ok(None) };
        let actual = file.metadata().at("stat", digest.to_string())?.len();
        if actual != expected {
            return Err(Error::WrongSize { digest: Box::new(*digest), expected, actual });
        }
        self.inner.leases.used(digest);
        Ok(Some(file))
    }

    /// As [`open`](Self::open), for content that leaves the store: what was not hashed by this process yet is
    /// hashed first. A blob that is not what its name says is removed, and `None`, so that it is made or fetched
    /// again.
    pub fn open_whole(&self, digest: &BlobDigest) -> Result<Option<File>> {
        let damage = match self.open(digest) {
            Ok(None) => return Ok(None),
            Ok(Some(file)) if self.inner.verified.lock().contains(digest) => return Ok(Some(file)),
            Ok(Some(mut file)) => {
                let actual = BlobDigest(digest_of(&file).at("read", digest.to_string())?);
                file.rewind().at("read", digest.to_string())?;
                if actual == *digest {
                    self.inner.verified.lock().insert(*digest);
                    return Ok(Some(file));
                }
                Error::WrongDigest { expected: Box::new(*digest), actual: Box::new(actual) }
            }
            Err(error @ Error::WrongSize { .. }) => error,
            Err(error) => return Err(error),
        };
        tracing::warn!(%digest, error = %damage, "a damaged blob is removed");
        self.remove(digest)?;
        Ok(None)
    }

    /// How many bytes it has; `None` if it is not here.
    pub fn size(&self, digest: &BlobDigest) -> Result<Option<u64>> {
        self.inner.metadata.with(|db| table::size(db, digest))
    }

    /// Whether it is here, or others have put it where it is ours, too.
    pub fn has(&self, digest: &BlobDigest) -> Result<bool> {
        Ok(self.size_or_adopt(digest)?.is_some())
    }

    /// Its file, if it is here; for those who hand it to another process.
    pub fn path(&self, digest: &BlobDigest) -> Result<Option<PathBuf>> {
        let path = self.inner.content.path(digest)?;
        Ok(self.size(digest)?.and(path))
    }

    /// Begins to write a blob. With `expected`, anything of another digest or size is refused.
    pub fn ingest(&self, expected: Option<(BlobDigest, Option<u64>)>) -> Result<Ingest> {
        if let Some((digest, _)) = &expected {
            check_algorithm(digest)?;
        }
        Ingest::begin(self.clone(), expected)
    }

    /// Stores `bytes` whole.
    pub fn put(&self, bytes: &[u8]) -> Result<StoredBlob> {
        use std::io::Write as _;
        let mut ingest = self.ingest(None)?;
        ingest.write_all(bytes).at("write", "a blob")?;
        ingest.commit()
    }

    /// Keeps the blob from being pruned for as long as the lease lives, whether it is here yet or not.
    pub fn hold(&self, digest: &BlobDigest) -> BlobLease {
        self.inner.leases.hold(digest)
    }

    /// Removes it, whoever names it; fine if it is not here.
    pub fn remove(&self, digest: &BlobDigest) -> Result<()> {
        check_algorithm(digest)?;
        self.inner.verified.lock().remove(digest);
        let metadata = &self.inner.metadata;
        let mark = metadata.mark();
        metadata.with(|db| table::delete(db, digest))?;
        metadata.expecting_leftovers(|| {
            metadata.flush_durable(mark)?;
            self.inner.content.remove(digest)
        })
    }

    /// Its size; one that others have put here is ours, too, from now on.
    fn size_or_adopt(&self, digest: &BlobDigest) -> Result<Option<u64>> {
        if let Some(size) = self.size(digest)? {
            return Ok(Some(size));
        }
        let Some(size) = self.inner.content.adopt(digest)? else { return Ok(None) };
        let now = self.inner.clock.now();
        self.inner.metadata.with_epoch(|db, epoch| table::insert(db, digest, size, now, epoch))?;
        Ok(Some(size))
    }
}

fn check_algorithm(digest: &BlobDigest) -> Result<()> {
    match digest.0 {
        Digest::Sha256(_) => Ok(()),
        other => Err(Error::Algorithm { digest: Box::new(other) }),
    }
}

/// The digest of all that `file` holds, from where it stands.
pub(crate) fn digest_of(mut file: &File) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// A blob that belongs to no snapshot.
#[derive(Debug)]
pub(crate) struct Unnamed {
    pub(crate) digest: BlobDigest,
    pub(crate) size: u64,
    pub(crate) created: i64,
    pub(crate) last_used: i64,
    pub(crate) held: bool,
}
