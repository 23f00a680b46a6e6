//! Blobs of the client: its OCI layouts, each a *store* with a name.

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use slipway_model::BlobDigest;
use slipway_proto::content::ReadContentRequest;
use slipway_proto::content::content_client::ContentClient;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;

use super::Session;
use super::connection::{SessionService, origin};
use crate::{Error, LARGEST_MESSAGE, Result};

/// Tells which of the client's stores is meant.
pub(crate) const STORE: &str = "buildkit-attachable-store-id";

impl Session {
    /// The blob `digest` of the client's store `store`, from `offset` on. Its bytes are the client's word:
    /// whoever reads them checks them.
    pub async fn read_blob(
        &self,
        store: &str,
        digest: &BlobDigest,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let service = self.require("/containerd.services.content.v1.Content/Read")?;
        let mut client = client(service);
        let offset = i64::try_from(offset).map_err(|_| Error::Protocol("the offset is too large".into()))?;
        let mut request = Request::new(ReadContentRequest { digest: digest.to_string(), offset, size: 0 });
        request.metadata_mut().insert(STORE, named(store)?);
        let what = format!("the blob {digest}");
        let incoming = client.read(request).await.map_err(|status| Error::call(what.clone(), status))?;
        let pieces = incoming.into_inner();
        Ok(pieces.map_ok(|piece| piece.data).map_err(move |status| Error::call(what.clone(), status)))
    }
}

pub(super) fn client(service: SessionService) -> ContentClient<SessionService> {
    ContentClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE)
}

pub(super) fn named(store: &str) -> Result<AsciiMetadataValue> {
    AsciiMetadataValue::try_from(store).map_err(|_| Error::Protocol(format!("{store:?} cannot name a store")))
}
