//! Files of the client: the build context, the Dockerfile.

use std::os::fd::OwnedFd;

use slipway_proto::filesync::file_sync_client::FileSyncClient;
use tonic::Request;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

use super::Session;
use super::connection::origin;
use crate::fsutil::{ReceiveOptions, Received, channel, receive};
use crate::{Error, LARGEST_MESSAGE, Result};

/// Which of the client's directories, and what of it.
#[derive(Clone, Debug, Default)]
pub struct SyncRequest {
    /// The name under which the client offers the directory, for example `context`.
    pub name: String,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Paths to include together with what their symlinks lead to.
    pub follow: Vec<String>,
}

impl Session {
    /// Makes the directory `destination` equal to what the client offers.
    pub async fn sync(
        &self,
        request: SyncRequest,
        destination: OwnedFd,
        options: ReceiveOptions,
    ) -> Result<Received> {
        let service = self.require("/moby.filesync.v1.FileSync/DiffCopy")?;
        let mut client =
            FileSyncClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE);
        let (outgoing, packets) = channel();
        let mut call = Request::new(packets);
        describe(&request, call.metadata_mut())?;
        let name = request.name;
        let incoming = client
            .diff_copy(call)
            .await
            .map_err(|status| Error::call(format!("the directory {name:?}"), status))?
            .into_inner();
        receive(destination, options, incoming, outgoing).await
    }
}

fn describe(request: &SyncRequest, metadata: &mut MetadataMap) -> Result<()> {
    append(metadata, "dir-name", std::slice::from_ref(&request.name))?;
    append(metadata, "include-patterns", &request.include)?;
    append(metadata, "exclude-patterns", &request.exclude)?;
    append(metadata, "followpaths", &request.follow)
}

/// Values that are not plain ASCII go query-escaped, all of a key, and `KEY-encoded: 1` says so.
fn append(metadata: &mut MetadataMap, key: &'static str, values: &[String]) -> Result<()> {
    let plain = |value: &String| value.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    let encode = !values.iter().all(plain);
    for value in values {
        let value = if encode { crate::stream::query_escape(value) } else { value.clone() };
        let value = AsciiMetadataValue::try_from(value)
            .map_err(|_| Error::Protocol(format!("{key} cannot be sent")))?;
        metadata.append(AsciiMetadataKey::from_static(key), value);
    }
    if encode {
        let key = AsciiMetadataKey::from_bytes(format!("{key}-encoded").as_bytes())
            .map_err(|_| Error::Protocol(format!("{key} cannot be sent")))?;
        metadata.insert(key, AsciiMetadataValue::from_static("1"));
    }
    Ok(())
}
