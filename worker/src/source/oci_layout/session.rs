//! A layout of a client, read through its session.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use slipway_model::BlobDigest;
use slipway_session::caller::Sessions;
use tokio_util::io::StreamReader;

use super::LayoutReader;
use crate::source::image::Reader;

/// One store of whichever of the sessions is there.
pub struct SessionLayout {
    known: Arc<Sessions>,
    sessions: Vec<String>,
    store: String,
}

impl SessionLayout {
    pub fn new(known: Arc<Sessions>, sessions: Vec<String>, store: String) -> Self {
        Self { known, sessions, store }
    }
}

#[async_trait]
impl LayoutReader for SessionLayout {
    async fn read_blob(&self, digest: &BlobDigest, offset: u64) -> io::Result<Reader> {
        let session = self.known.any(&self.sessions).await.map_err(to_io)?;
        let pieces = session.read_blob(&self.store, digest, offset).await.map_err(to_io)?;
        Ok(Box::pin(StreamReader::new(Box::pin(pieces.map_err(to_io)))))
    }

    /// Sessions show blobs only.
    async fn index(&self) -> io::Result<Option<Bytes>> {
        Ok(None)
    }
}

fn to_io(error: slipway_session::Error) -> io::Error {
    let kind = if error.is_not_found() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}
