//! Where the bytes of a download come from: a web server, or the client that offers an upload.
//!
//! What a server compresses on the way (`Content-Encoding: gzip`) is unpacked here: the file, its digest and its
//! checksum are of what was meant.

use std::io::Write as _;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use slipway_registry::WebResponse;
use slipway_session::caller::Upload;

use super::super::save::Pieces;
use crate::{Error, Result};

pub(super) enum Body {
    Web(Box<WebResponse>),
    Compressed(Box<Compressed>),
    Upload(Box<Upload>),
}

pub(super) struct Compressed {
    response: WebResponse,
    /// What has arrived and is not unpacked yet.
    packed: Bytes,
    unpacked: MultiGzDecoder<Vec<u8>>,
    ended: bool,
}

/// Unpacked at once, which makes a thousand times as much at most.
const STEP: usize = 4096;

impl Body {
    pub(super) fn of(response: WebResponse) -> Self {
        // `x-gzip` is what servers say of files that are meant to be compressed.
        let encoding = response.header("content-encoding");
        let is_compressed = encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip"));
        match is_compressed {
            true => {
                let unpacked = MultiGzDecoder::new(Vec::new());
                Self::Compressed(Box::new(Compressed {
                    response,
                    packed: Bytes::new(),
                    unpacked,
                    ended: false,
                }))
            }
            false => Self::Web(Box::new(response)),
        }
    }

    /// Piece by piece. `url` is for errors.
    pub(super) fn pieces(self, url: String) -> Pieces {
        let pieces = futures::stream::try_unfold((self, url), |(mut body, url)| async move {
            Ok(body.next_piece(&url).await?.map(|piece| (piece, (body, url))))
        });
        Box::pin(pieces)
    }

    /// `None` at the end. `url` is for errors.
    async fn next_piece(&mut self, url: &str) -> Result<Option<Bytes>> {
        match self {
            Self::Web(response) => next_of(response, url).await,
            Self::Compressed(compressed) => compressed.next_piece(url).await,
            Self::Upload(upload) => Ok(upload.next_piece().await?),
        }
    }
}

impl Compressed {
    async fn next_piece(&mut self, url: &str) -> Result<Option<Bytes>> {
        let broken =
            |error| Error::Failed(format!("{url}: the server compresses the file, and not well: {error}"));
        while !self.ended {
            if !self.packed.is_empty() {
                let part = self.packed.split_to(self.packed.len().min(STEP));
                self.unpacked.write_all(&part).map_err(broken)?;
            } else if let Some(piece) = next_of(&mut self.response, url).await? {
                self.packed = piece;
                continue;
            } else {
                self.ended = true;
                self.unpacked.try_finish().map_err(broken)?;
            }
            let piece = std::mem::take(self.unpacked.get_mut());
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
        Ok(None)
    }
}

async fn next_of(response: &mut WebResponse, url: &str) -> Result<Option<Bytes>> {
    let broken = |source| Error::Download { url: url.to_owned(), source: Box::new(source) };
    response.next_piece().await.map_err(broken)
}
