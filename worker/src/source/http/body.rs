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
    Compressed { response: Box<WebResponse>, unpacked: MultiGzDecoder<Vec<u8>>, ended: bool },
    Upload(Box<Upload>),
}

impl Body {
    pub(super) fn of(response: WebResponse) -> Self {
        let is_compressed = response.header("content-encoding").is_some_and(|encoding| {
            ["gzip", "x-gzip"].iter().any(|name| encoding.eq_ignore_ascii_case(name))
        });
        let response = Box::new(response);
        match is_compressed {
            true => Self::Compressed { response, unpacked: MultiGzDecoder::new(Vec::new()), ended: false },
            false => Self::Web(response),
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
            Self::Compressed { response, unpacked, ended } => {
                let broken = |error| {
                    Error::Failed(format!("{url}: the server compresses the file, and not well: {error}"))
                };
                while !*ended {
                    match next_of(response, url).await? {
                        Some(piece) => unpacked.write_all(&piece).map_err(broken)?,
                        None => {
                            *ended = true;
                            unpacked.try_finish().map_err(broken)?;
                        }
                    }
                    let piece = std::mem::take(unpacked.get_mut());
                    if !piece.is_empty() {
                        return Ok(Some(piece.into()));
                    }
                }
                Ok(None)
            }
            Self::Upload(upload) => Ok(upload.next_piece().await?),
        }
    }
}

async fn next_of(response: &mut WebResponse, url: &str) -> Result<Option<Bytes>> {
    let broken = |source| Error::Download { url: url.to_owned(), source: Box::new(source) };
    response.next_piece().await.map_err(broken)
}
