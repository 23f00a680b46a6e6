//! Where the bytes of a download come from: a web server, or the client that offers an upload.

use bytes::Bytes;
use slipway_registry::WebResponse;
use slipway_session::caller::Upload;

use super::super::save::Pieces;
use crate::{Error, Result};

pub(super) enum Body {
    Web(Box<WebResponse>),
    Upload(Box<Upload>),
}

impl Body {
    /// Piece by piece. `url` is for errors.
    pub(super) fn pieces(self, url: String) -> Pieces {
        let pieces = futures::stream::try_unfold((self, url), |(mut body, url)| async move {
            Ok(body.next_piece(&url).await?.map(|piece| (piece, (body, url))))
        });
        Box::pin(pieces)
    }

    /// `None` at the end.
    async fn next_piece(&mut self, url: &str) -> Result<Option<Bytes>> {
        match self {
            Self::Web(response) => response
                .next_piece()
                .await
                .map_err(|source| Error::Download { url: url.to_owned(), source: Box::new(source) }),
            Self::Upload(upload) => Ok(upload.next_piece().await?),
        }
    }
}
