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
    unpacked: MultiGzDecoder<Vec<u8>>,
    ended: bool,
}

impl Body {
    pub(super) fn of(response: WebResponse) -> Self {
        let is_compressed = response.header("content-encoding").is_some_and(|encoding| {
            ["gzip", "x-gzip"].iter().any(|name| encoding.eq_ignore_ascii_case(name))
        });
        match is_compressed {
            true => {
                let unpacked = MultiGzDecoder::new(Vec::new());
                Self::Compressed(Box::new(Compressed { response, unpacked, ended: false }))
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
            match next_of(&mut self.response, url).await? {
                Some(piece) => self.unpacked.write_all(&piece).map_err(broken)?,
                None => {
                    self.ended = true;
                    self.unpacked.try_finish().map_err(broken)?;
                }
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
