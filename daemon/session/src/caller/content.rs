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

/// Names travel as metadata, which gRPC wants to be printable ASCII: clients refuse, or misread, anything else.
pub(super) fn named(store: &str) -> Result<AsciiMetadataValue> {
    let refused = || {
        Error::Protocol(format!(
            "header key {STORE:?} contains value with non-printable ASCII characters: {store:?} cannot name a store"
        ))
    };
    match store.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true => AsciiMetadataValue::try_from(store).map_err(|_| refused()),
        false => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_have_printable_names() {
        assert_eq!(named("local:/tmp/a b~").unwrap(), "local:/tmp/a b~");
        for name in ["local:éèç", "local:a\tb", "local:\u{7f}"] {
            let refused = named(name).unwrap_err().to_string();
            assert!(refused.contains("non-printable ASCII"), "{refused}");
        }
    }
}
