//! The wall behind the blobs: where their bytes rest.
//!
//! [`super::Blobs`] knows which blobs there are, who holds them and what they are for; a `Content` knows bytes.
//! [`super::files::Files`] keeps them below the root. A store that rests on another program's content (see
//! [`crate::Backend`]) hands its own in.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use slipway_model::BlobDigest;

use crate::error::Result;

/// Keeps bytes by their digest. Blocks.
pub trait Content: Send + Sync {
    /// For reading, from the start; `None` if it is not here.
    fn open(&self, digest: &BlobDigest) -> Result<Option<File>>;

    /// Where it lies, or would; `None` if that is nobody else's business.
    fn path(&self, digest: &BlobDigest) -> Result<Option<PathBuf>>;

    /// Begins to write a blob.
    fn begin(&self) -> Result<Box<dyn Writing>>;

    /// Nobody here names it any more; fine if it is not here. It may stay for others who do.
    fn release(&self, digest: &BlobDigest) -> Result<()>;

    /// It is damaged: takes it away, whoever names it. Fine if it is not here.
    fn remove(&self, digest: &BlobDigest) -> Result<()>;

    /// All that this store keeps, with their sizes.
    fn list(&self) -> Result<Vec<(BlobDigest, u64)>>;

    /// Removes what interrupted writers left; called while there are none.
    fn clear(&self) -> Result<()>;

    /// Keeps one that others have put here, from now on; answers with its size. `None` if there is none, or if
    /// nobody else puts blobs here.
    fn adopt(&self, digest: &BlobDigest) -> Result<Option<u64>>;
}

/// A blob on its way in. Dropped without a commit, nothing of it stays.
pub trait Writing: Send {
    /// Takes some of `bytes`, at least one unless there is none; answers with how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Gives all that was written its name. One that is here already is replaced, or stays if it is known to be
    /// whole.
    fn commit(&mut self, digest: &BlobDigest, size: u64) -> Result<()>;

    /// Takes back what was written; called once, unless it was committed.
    fn abandon(&mut self) -> io::Result<()>;
}
