//! Reading that goes on where it broke off.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use futures::TryStreamExt as _;
use futures::stream;
use http::header::CONTENT_RANGE;
use slipway_registry::{BlobReader, RetryOptions, WebResponse};
use tokio_util::io::StreamReader;

use crate::{Error, Result};

/// Opens the same bytes again.
#[async_trait]
pub(crate) trait Reopen: Send + Sync {
    /// An answer of 200, with everything, or of 206, from `offset` on.
    async fn reopen(&self, offset: u64) -> Result<WebResponse>;

    fn broken(&self, reason: &str) -> Error;
}

/// The bytes from `offset` to `size`, and not one more or less.
pub(crate) async fn read(
    source: Arc<dyn Reopen>,
    retry: RetryOptions,
    offset: u64,
    size: u64,
) -> Result<BlobReader> {
    let mut reading = Reading { source, retry, position: offset, size, response: None, skip: 0, failed: 0 };
    if reading.position < size {
        reading.open().await?;
    }
    let pieces = stream::try_unfold(reading, Reading::next).map_err(std::io::Error::other);
    Ok(Box::pin(StreamReader::new(Box::pin(pieces))))
}

struct Reading {
    source: Arc<dyn Reopen>,
    retry: RetryOptions,
    position: u64,
    size: u64,
    response: Option<WebResponse>,
    /// Bytes of the response that were had before.
    skip: u64,
    /// Broken transfers since the last byte.
    failed: u32,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        while self.position < self.size {
            let Some(response) = &mut self.response else {
                self.open().await?;
                continue;
            };
            match response.next_piece().await {
                Ok(Some(mut piece)) => {
                    let known = self.skip.min(piece.len() as u64);
                    self.skip -= known;
                    piece.advance(known as usize);
                    if piece.is_empty() {
                        continue;
                    }
                    self.failed = 0;
                    self.position += piece.len() as u64;
                    if self.position > self.size {
                        return Err(self.source.broken("it is longer than it should be"));
                    }
                    return Ok(Some((piece, self)));
                }
                Ok(None) => self.broke(self.source.broken("it ended early"), true).await?,
                Err(error) => {
                    let again = error.is_transient();
                    self.broke(error.into(), again).await?;
                }
            }
        }
        Ok(None)
    }

    async fn broke(&mut self, error: Error, again: bool) -> Result<()> {
        self.response = None;
        self.failed += 1;
        if !again || self.failed >= self.retry.attempts {
            return Err(error);
        }
        tracing::debug!(%error, position = self.position, "resuming");
        tokio::time::sleep(self.retry.delay(self.failed)).await;
        Ok(())
    }

    async fn open(&mut self) -> Result<()> {
        let response = self.source.reopen(self.position).await?;
        if response.status() == 206 {
            let range = response.header(CONTENT_RANGE.as_str());
            let start: Option<u64> =
                range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok());
            if start != Some(self.position) {
                return Err(self.source.broken("another range came than the one asked for"));
            }
            self.skip = 0;
        } else {
            self.skip = self.position;
        }
        self.response = Some(response);
        Ok(())
    }
}
