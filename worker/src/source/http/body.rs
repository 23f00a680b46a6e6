//! Where the bytes of a download come from: a web server, or the client that offers an upload.

use bytes::Bytes;
use slipway_registry::WebResponse;
use slipway_session::caller::Upload;

use crate::{Error, Result};

pub(super) enum Body {
    Web(Box<WebResponse>),
    Upload(Box<Upload>),
}

impl Body {
    /// `None` at the end. `url` is for errors.
    pub(super) async fn next_piece(&mut self, url: &str) -> Result<Option<Bytes>> {
        match self {
            Self::Web(response) => response
                .next_piece()
                .await
                .map_err(|source| Error::Download { url: url.to_owned(), source: Box::new(source) }),
            Self::Upload(upload) => Ok(upload.next_piece().await?),
        }
    }
}
