//! Bytes that the client offers under an address of its own: a build context that it reads from a pipe.

use bytes::Bytes;
use slipway_proto::upload::BytesMessage;
use slipway_proto::upload::upload_client::UploadClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Streaming};

use super::Session;
use super::connection::origin;
use crate::{Error, LARGEST_MESSAGE, Result};

/// The host of such an address: `http://buildkit-session/<id>`.
pub const UPLOAD_HOST: &str = "buildkit-session";

/// A body on its way from the client.
pub struct Upload(Streaming<BytesMessage>);

impl Session {
    /// What the client offers under `/<id>`. Most clients can hand it out only once.
    pub async fn upload(&self, path: &str) -> Result<Upload> {
        let service = self.require("/moby.upload.v1.Upload/Pull")?;
        let mut client =
            UploadClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE);
        let mut call = Request::new(tokio_stream::empty());
        for (key, value) in [("urlpath", path), ("urlhost", UPLOAD_HOST)] {
            let value = AsciiMetadataValue::try_from(value)
                .map_err(|_| Error::Protocol(format!("{key} cannot be sent")))?;
            call.metadata_mut().insert(key, value);
        }
        let failed = |status| Error::call(format!("the upload {path:?}"), status);
        client.pull(call).await.map(|response| Upload(response.into_inner())).map_err(failed)
    }
}

impl Upload {
    /// `None` at the end.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        let message = self.0.message().await.map_err(|status| Error::call("an upload".to_owned(), status))?;
        Ok(message.map(|message| message.data))
    }
}
