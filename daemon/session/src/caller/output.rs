//! Files for the client: what exporters hand back.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use slipway_proto::filesync::BytesMessage;
use slipway_proto::filesync::file_send_client::FileSendClient;
use slipway_proto::fsutil::Packet;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::{Request, Status};

use super::Session;
use super::connection::{SessionService, origin};
use crate::fsutil::{Source, channel, send};
use crate::{Error, IS_ALL, LARGEST_MESSAGE, Result};

const METHOD: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// Bytes of one message; the reference's clients accept up to 4 MiB.
const CHUNK: usize = 1 << 20;

/// A file that is being written at the client's side. It is whole only after [`FileWriter::finish`].
pub struct FileWriter {
    outgoing: mpsc::Sender<BytesMessage>,
    answer: JoinHandle<std::result::Result<(), Status>>,
}

impl Session {
    /// Opens the file that the client keeps for exporter `id`; `metadata` is told to it.
    pub async fn create_file(&self, id: usize, metadata: &BTreeMap<String, String>) -> Result<FileWriter> {
        let service = self.require(METHOD)?;
        let (outgoing, messages) = mpsc::channel(8);
        let mut request = Request::new(ReceiverStream::new(messages));
        name_exporter(request.metadata_mut(), id)?;
        for (key, value) in metadata {
            insert(request.metadata_mut(), &format!("exporter-md-{key}"), value)?;
        }
        // The call answers only after the client has read: it must not be waited for here.
        let answer = tokio::spawn(async move {
            let mut client = client(service);
            let mut incoming = client.diff_copy(request).await?.into_inner();
            while incoming.message().await?.is_some() {}
            Ok(())
        });
        Ok(FileWriter { outgoing, answer })
    }

    /// Copies `source` into the directory that the client keeps for exporter `id`. If it is all that comes, a client
    /// that wants to may remove what is not in it.
    pub async fn copy_directory(&self, id: usize, source: impl Source, is_all: bool) -> Result<()> {
        let service = self.require(METHOD)?;
        let (outgoing, packets) = channel();
        let mut request = Request::new(packets);
        name_exporter(request.metadata_mut(), id)?;
        if is_all {
            insert(request.metadata_mut(), IS_ALL, "1")?;
        }
        // This one method carries packets where its declaration says bytes.
        let mut grpc =
            tonic::client::Grpc::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE);
        grpc.ready().await.map_err(|error| Error::Connection(error.to_string()))?;
        let codec = tonic_prost::ProstCodec::<Packet, Packet>::default();
        let path = http::uri::PathAndQuery::from_static(METHOD);
        // The client answers only when it has something to ask for, so we must already be sending.
        let answered = futures::stream::once(async move { grpc.streaming(request, path, codec).await })
            .map_ok(tonic::Response::into_inner)
            .try_flatten();
        let incoming = Box::pin(answered);
        send(source, incoming, outgoing).await
    }
}

impl FileWriter {
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(CHUNK));
            if self.outgoing.send(BytesMessage { data }).await.is_err() {
                return Err(self.failure().await);
            }
        }
        Ok(())
    }

    /// Returns when the client has the whole file.
    pub async fn finish(self) -> Result<()> {
        drop(self.outgoing);
        match self.answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => Err(Error::call("the output file", status)),
            Err(error) => Err(Error::Connection(error.to_string())),
        }
    }

    async fn failure(&mut self) -> Error {
        match (&mut self.answer).await {
            Ok(Err(status)) => Error::call("the output file", status),
            _ => Error::Connection("the client stopped reading the output".into()),
        }
    }
}

fn client(service: SessionService) -> FileSendClient<SessionService> {
    FileSendClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE)
}

fn name_exporter(metadata: &mut MetadataMap, id: usize) -> Result<()> {
    insert(metadata, "buildkit-attachable-exporter-id", &id.to_string())?;
    insert(metadata, "buildkit-exporter-multi-platform", "1")
}

fn insert(metadata: &mut MetadataMap, key: &str, value: &str) -> Result<()> {
    let unsendable = |_| Error::Protocol(format!("{key} cannot be sent"));
    let key = AsciiMetadataKey::from_bytes(key.to_ascii_lowercase().as_bytes())
        .map_err(|_| Error::Protocol(format!("{key} is not a metadata key")))?;
    metadata.insert(key, AsciiMetadataValue::try_from(value).map_err(unsendable)?);
    Ok(())
}
