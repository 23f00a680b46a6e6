//! A blob on its way in.

use std::io::{self, Write};

use slipway_model::{BlobDigest, Hasher};

use super::{BlobLease, Blobs, Writing, table};
use crate::error::{At as _, Error, Result};
use crate::fault::{self, Point};

/// Bytes being written and hashed. Dropped without [`commit`](Self::commit), nothing of it stays.
pub struct Ingest {
    blobs: Blobs,
    writing: Box<dyn Writing>,
    hasher: Hasher,
    expected: Option<(BlobDigest, Option<u64>)>,
    committed: bool,
}

/// A blob that is here now, and is kept while this lives.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    pub digest: BlobDigest,
    /// Bytes.
    pub size: u64,
    pub lease: BlobLease,
}

impl Ingest {
    pub(super) fn begin(blobs: Blobs, expected: Option<(BlobDigest, Option<u64>)>) -> Result<Self> {
        let writing = blobs.inner.content.begin()?;
        Ok(Self { blobs, writing, hasher: Hasher::new(), expected, committed: false })
    }

    /// Bytes written so far.
    pub fn length(&self) -> u64 {
        self.hasher.length()
    }

    /// Ends the blob and gives it its name. A whole blob that is here already stays as it is.
    ///
    /// [`Error::WrongDigest`], [`Error::WrongSize`] if it is not what was expected.
    pub fn commit(mut self) -> Result<StoredBlob> {
        let size = self.hasher.length();
        let digest = BlobDigest(std::mem::take(&mut self.hasher).finish());
        self.check(&digest, size)?;
        let lease = self.blobs.hold(&digest);
        let inner = &self.blobs.inner;
        // One that was not looked at is replaced, as it may be damaged; whoever reads it keeps the file it has.
        let is_verified = inner.verified.lock().contains(&digest);
        if is_verified && self.blobs.open(&digest).is_ok_and(|there| there.is_some()) {
            let now = inner.clock.now();
            inner.metadata.with(|db| table::used(db, &digest, now))?;
            return Ok(StoredBlob { digest, size, lease });
        }
        self.writing.commit(&digest, size)?;
        self.committed = true;
        let now = inner.clock.now();
        inner.metadata.expecting_leftovers(|| {
            fault::pass(Point::BlobRow).at("note", digest.to_string())?;
            inner.metadata.with_epoch(|db, epoch| table::insert(db, &digest, size, now, epoch))
        })?;
        inner.verified.lock().insert(digest);
        Ok(StoredBlob { digest, size, lease })
    }

    fn check(&self, digest: &BlobDigest, actual: u64) -> Result<()> {
        match self.expected {
            Some((expected, Some(size))) if size != actual => {
                Err(Error::WrongSize { digest: Box::new(expected), expected: size, actual })
            }
            Some((expected, _)) if expected != *digest => {
                Err(Error::WrongDigest { expected: Box::new(expected), actual: Box::new(*digest) })
            }
            _ => Ok(()),
        }
    }
}

impl Write for Ingest {
    /// Fails as soon as there are more bytes than expected.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((digest, Some(size))) = self.expected {
            let length = self.hasher.length() + bytes.len() as u64;
            if length > size {
                let digest = Box::new(digest);
                return Err(io::Error::other(Error::WrongSize { digest, expected: size, actual: length }));
            }
        }
        fault::pass(Point::BlobWrite)?;
        let written = self.writing.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if !self.committed
            && let Err(error) =
                fault::pass(Point::BlobAbandon).map_err(io::Error::from).and_then(|()| self.writing.abandon())
        {
            self.blobs.inner.metadata.expect_leftovers();
            tracing::warn!(%error, "an unfinished blob stays until the next start");
        }
    }
}
