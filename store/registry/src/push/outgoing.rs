//! A request body read from a blob while it is sent.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{BlobReader, BlobSource, Progress};
use crate::body;
use crate::error::{Asked, Error};
use crate::traffic::Traffic;

const PIECE: usize = 256 << 10;
/// A registry may move a large blob to its place before it answers; that is silence too.
const COMMIT: Duration = Duration::from_secs(600);

/// `length` bytes of `source` from `offset` on.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) source: Arc<dyn BlobSource>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) progress: Option<Progress>,
    pub(crate) silence: Duration,
    pub(crate) traffic: Arc<Traffic>,
}

/// What the sending side leaves behind.
#[derive(Default)]
struct Trace {
    sent: AtomicU64,
    failure: Mutex<Option<io::Error>>,
}

impl Outgoing {
    pub(crate) async fn transmit(
        &self,
        request: reqwest::RequestBuilder,
        asked: &Asked,
    ) -> Result<reqwest::Response, Error> {
        let reader = self.source.open(self.offset).await;
        let reader = reader.map_err(|source| Error::Source { asked: asked.clone(), source })?;
        let trace = Arc::new(Trace::default());
        let request = request
            .header(CONTENT_LENGTH, self.length)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(reqwest::Body::wrap_stream(self.pieces(reader, trace.clone())));
        let mut sending = pin!(request.send());
        let mut before = 0;
        loop {
            let patience = if before == self.length { COMMIT } else { self.silence };
            let outcome = tokio::time::timeout(patience, &mut sending).await;
            let sent = trace.sent.load(Ordering::Relaxed);
            match outcome {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    let failure = trace.failure.lock().take();
                    return Err(match failure {
                        Some(source) => Error::Source { asked: asked.clone(), source },
                        None => body::broken(asked, error),
                    });
                }
                Err(_) if sent > before => before = sent,
                Err(_) => return Err(body::silent(asked, patience)),
            }
        }
    }

    fn pieces(&self, reader: BlobReader, trace: Arc<Trace>) -> impl Stream<Item = io::Result<Bytes>> + use<> {
        let (offset, length, progress) = (self.offset, self.length, self.progress.clone());
        let traffic = self.traffic.clone();
        let pieces = ReaderStream::with_capacity(reader.take(length), PIECE).boxed();
        stream::unfold(Some(pieces), move |pieces| {
            let (progress, trace, traffic) = (progress.clone(), trace.clone(), traffic.clone());
            async move {
                let mut pieces = pieces?;
                let failure = match pieces.next().await {
                    Some(Ok(piece)) => {
                        traffic.send(piece.len());
                        let sent =
                            trace.sent.fetch_add(piece.len() as u64, Ordering::Relaxed) + piece.len() as u64;
                        if let Some(progress) = progress {
                            progress(offset + sent);
                        }
                        return Some((Ok(piece), Some(pieces)));
                    }
                    None if trace.sent.load(Ordering::Relaxed) == length => return None,
                    None => io::ErrorKind::UnexpectedEof.into(),
                    Some(Err(error)) => error,
                };
                // The transport wraps errors beyond recognition: the first one is kept aside.
                *trace.failure.lock() = Some(failure);
                Some((Err(io::ErrorKind::Other.into()), None))
            }
        })
    }
}
