//! Pushing: blobs first, then the manifests that name them.
//!
//! A blob travels only if it must: one HEAD finds it there; a mount takes it from a repository of
//! the same registry; else it is uploaded in one request, read straight from where it rests. A
//! server (or a proxy before it) that finds one request too large gets it in chunks, and a chunk
//! that breaks off is continued from where the server says it stands.

mod blob;
mod chunks;
mod manifest;
mod outgoing;
mod referrer;
mod session;

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncRead;

pub(crate) use outgoing::Outgoing;

/// The bytes of a blob, as often as they are needed: an upload may have to begin again.
#[async_trait]
pub trait BlobSource: Send + Sync {
    /// From `offset` to the end.
    async fn open(&self, offset: u64) -> io::Result<BlobReader>;
}

pub type BlobReader = Pin<Box<dyn AsyncRead + Send>>;

/// Told how many bytes of a blob were sent so far; less than before when it had to begin again.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// How a blob came to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    Existed,
    /// Taken from this repository of the same registry.
    Mounted {
        from: String,
    },
    Uploaded,
}

#[async_trait]
impl BlobSource for Bytes {
    async fn open(&self, offset: u64) -> io::Result<BlobReader> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?.min(self.len());
        Ok(Box::pin(io::Cursor::new(self.slice(offset..))))
    }
}
