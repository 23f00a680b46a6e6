//! Content-addressed files: `blobs/sha256/<first two digits>/<digest>`.
//!
//! A blob is written once under a temporary name, hashed while it is written, and renamed; so a name that
//! exists has its whole content. It has a row in the database with the epoch it was made in, as it
//! is not fsynced by itself (see [`crate::metadata`]). A blob without a row, left by a crash in between,
//! is removed at the next open.
//!
//! Which blobs belong to which snapshot is told by [`crate::refs::LayerFacts`]; a blob that nobody names and
//! nobody holds ([`BlobLease`]) is removed by [`crate::Store::prune`].

mod ingest;
mod lease;
mod recover;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use slipway_model::{BlobDigest, Digest, Hasher};

use crate::error::{At as _, Error, Result, if_exists};
use crate::fault::{self, Point};
use crate::metadata::Metadata;
use crate::store::Clock;
pub use ingest::{Ingest, StoredBlob};
pub use lease::BlobLease;
pub(crate) use recover::files_of;

/// The blobs of a store. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

struct Inner {
    /// `<root>/blobs/sha256`
    directory: PathBuf,
    /// Where blobs are while they are written.
    unfinished: PathBuf,
    next: AtomicU64,
    metadata: Metadata,
    clock: Clock,
    leases: lease::Leases,
    /// Those that this process has hashed, when they came in or before they went out.
    verified: Mutex<HashSet<BlobDigest>>,
}

impl Blobs {
    pub(crate) fn open_store(root: &Path, metadata: Metadata, clock: Clock) -> Result<Self> {
        let directory = root.join("blobs/sha256");
        let unfinished = root.join("ingest");
        for path in [&directory, &unfinished] {
            std::fs::create_dir_all(path).at("create", path)?;
        }
        let inner = Inner {
            directory,
            unfinished,
            next: AtomicU64::new(0),
            metadata,
            clock,
            leases: Default::default(),
            verified: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The blob, for reading; `None` if it is not here. Its size was compared with the one it was stored with.
    pub fn open(&self, digest: &BlobDigest) -> Result<Option<File>> {
        let path = self.file(digest)?;
        let Some(file) = if_exists(File::open(&path).at("open", &path))? else { return Ok(None) };
        let Some(expected) = self.inner.metadata.with(|db| table::size(db, digest))? else { return Ok(None) };
        let actual = file.metadata().at("stat", &path)?.len();
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
                let path = self.file(digest)?;
                let actual = BlobDigest(digest_of(&file).at("read", &path)?);
                file.rewind().at("read", &path)?;
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

    /// Its file, if it is here; for those who hand it to another process.
    pub fn path(&self, digest: &BlobDigest) -> Result<Option<PathBuf>> {
        let path = self.file(digest)?;
        Ok(self.size(digest)?.map(|_| path))
    }

    /// Begins to write a blob. With `expected`, anything of another digest or size is refused.
    pub fn ingest(&self, expected: Option<(BlobDigest, Option<u64>)>) -> Result<Ingest> {
        if let Some((digest, _)) = &expected {
            self.file(digest)?;
        }
        Ingest::begin(self.clone(), expected)
    }

    /// Stores `bytes` whole.
    pub fn put(&self, bytes: &[u8]) -> Result<StoredBlob> {
        use std::io::Write as _;
        let mut ingest = self.ingest(None)?;
        let path = self.inner.unfinished.clone();
        ingest.write_all(bytes).at("write", path)?;
        ingest.commit()
    }

    /// Keeps the blob from being pruned for as long as the lease lives, whether it is here yet or not.
    pub fn hold(&self, digest: &BlobDigest) -> BlobLease {
        self.inner.leases.hold(digest)
    }

    /// Removes it, whoever names it; fine if it is not here.
    pub fn remove(&self, digest: &BlobDigest) -> Result<()> {
        let path = self.file(digest)?;
        self.inner.verified.lock().remove(digest);
        let metadata = &self.inner.metadata;
        let mark = metadata.mark();
        metadata.with(|db| table::delete(db, digest))?;
        metadata.expecting_leftovers(|| {
            metadata.flush_durable(mark)?;
            if_exists(unlink(&path)).map(|_| ())
        })
    }

    fn file(&self, digest: &BlobDigest) -> Result<PathBuf> {
        file_of(&self.inner.directory, digest)
    }
}

/// Where a blob is below `directory`.
pub(crate) fn file_of(directory: &Path, digest: &BlobDigest) -> Result<PathBuf> {
    match digest.0 {
        Digest::Sha256(_) => {
            let hex = digest.0.hex();
            Ok(directory.join(&hex[..2]).join(hex))
        }
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

fn unlink(path: &Path) -> Result<()> {
    fault::pass(Point::BlobUnlink).at("remove", path)?;
    std::fs::remove_file(path).at("remove", path)
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
