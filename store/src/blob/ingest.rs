//! A blob on its way in.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use slipway_model::{BlobDigest, Hasher};

use super::{BlobLease, Blobs, table};
use crate::error::{At as _, Error, Result};
use crate::fault::{self, Point};

/// Bytes being written and hashed. Dropped without [`commit`](Self::commit), nothing of it stays.
pub struct Ingest {
    blobs: Blobs,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    expected: Option<(BlobDigest, Option<u64>)>,
    renamed: bool,
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
        let number = blobs.inner.next.fetch_add(1, Ordering::Relaxed);
        let path = blobs.inner.unfinished.join(number.to_string());
        fault::pass(Point::BlobCreate).at("create", &path)?;
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).at("create", &path)?;
        Ok(Self { blobs, file, path, hasher: Hasher::new(), expected, renamed: false })
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
        let path = self.blobs.file(&digest)?;
        let inner = &self.blobs.inner;
        // One that was not looked at is replaced, as it may be damaged; whoever reads it keeps the file it has.
        let is_verified = inner.verified.lock().contains(&digest);
        if is_verified && self.blobs.open(&digest).is_ok_and(|there| there.is_some()) {
            let now = inner.clock.now();
            inner.metadata.with(|db| table::used(db, &digest, now))?;
            return Ok(StoredBlob { digest, size, lease });
        }
        if let Some(directory) = path.parent() {
            fault::pass(Point::BlobDirectory).at("create", directory)?;
            std::fs::create_dir_all(directory).at("create", directory)?;
        }
        fault::pass(Point::BlobRename).at("name", &path)?;
        std::fs::rename(&self.path, &path).at("name", &path)?;
        self.renamed = true;
        let now = inner.clock.now();
        inner.metadata.expecting_leftovers(|| {
            fault::pass(Point::BlobRow).at("note", &path)?;
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
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = fault::pass(Point::BlobAbandon)
                .map_err(io::Error::from)
                .and_then(|()| std::fs::remove_file(&self.path))
        {
            self.blobs.inner.metadata.expect_leftovers();
            tracing::warn!(path = %self.path.display(), %error, "an unfinished blob stays until the next start");
        }
    }
}
