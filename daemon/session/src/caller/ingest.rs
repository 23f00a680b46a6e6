//! Blobs for the client: into one of its stores, where they exist once all of their bytes are there.
//!
//! The protocol is containerd's: a `STAT` opens, `WRITE`s follow, a `COMMIT` names the digest. Each is
//! answered; the answers are not waited for while there is more to send.

use bytes::Bytes;
use slipway_model::BlobDigest;
use slipway_proto::content::{InfoRequest, WriteAction, WriteContentRequest};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};

use super::Session;
use super::content::{STORE, client, named};
use crate::{Error, Result};

const METHOD: &str = "/containerd.services.content.v1.Content/Write";
/// Bytes of one message.
const CHUNK: usize = 1 << 20;

/// A blob on its way to the client. It is there only after [`BlobWriter::finish`].
pub struct BlobWriter {
    digest: BlobDigest,
    total: i64,
    sent: i64,
    outgoing: mpsc::Sender<WriteContentRequest>,
    /// Until the client has ended the call.
    answers: Option<JoinHandle<std::result::Result<(), Status>>>,
}

impl Session {
    /// Whether the client's store `store` has the blob.
    pub async fn has_blob(&self, store: &str, digest: &BlobDigest) -> Result<bool> {
        let service = self.require("/containerd.services.content.v1.Content/Info")?;
        let mut request = Request::new(InfoRequest { digest: digest.to_string() });
        request.metadata_mut().insert(STORE, named(store)?);
        match client(service).info(request).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(Error::call(format!("the blob {digest}"), status)),
        }
    }

    /// Begins to write a blob of `size` bytes into the client's store `store`.
    pub async fn write_blob(&self, store: &str, digest: &BlobDigest, size: u64) -> Result<BlobWriter> {
        let service = self.require(METHOD)?;
        let total = i64::try_from(size).map_err(|_| Error::Protocol("the blob is too large".into()))?;
        let (outgoing, messages) = mpsc::channel(8);
        let mut request = Request::new(ReceiverStream::new(messages));
        request.metadata_mut().insert(STORE, named(store)?);
        let answers = tokio::spawn(async move {
            let mut answers = client(service).write(request).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok(())
        });
        let mut writer = BlobWriter { digest: *digest, total, sent: 0, outgoing, answers: Some(answers) };
        writer.send(WriteAction::Stat, Bytes::new()).await?;
        Ok(writer)
    }
}

impl BlobWriter {
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(CHUNK));
            let length = data.len() as i64;
            self.send(WriteAction::Write, data).await?;
            self.sent += length;
        }
        Ok(())
    }

    /// Returns when the client has the whole blob, also if somebody else brought it meanwhile.
    pub async fn finish(mut self) -> Result<()> {
        self.send(WriteAction::Commit, Bytes::new()).await?;
        drop(self.outgoing);
        match self.answers {
            Some(answers) => ended(answers.await, self.digest),
            None => Ok(()),
        }
    }

    async fn send(&mut self, action: WriteAction, data: Bytes) -> Result<()> {
        let message = WriteContentRequest {
            action: action.into(),
            r#ref: format!("slipway-{}", self.digest),
            total: self.total,
            expected: self.digest.to_string(),
            offset: self.sent,
            data,
            ..WriteContentRequest::default()
        };
        if self.outgoing.send(message).await.is_err()
            && let Some(answers) = self.answers.take()
        {
            ended(answers.await, self.digest)?;
        }
        Ok(())
    }
}

/// A client that ends the call because it has the blob needs no more of it.
fn ended(
    answer: std::result::Result<std::result::Result<(), Status>, JoinError>,
    digest: BlobDigest,
) -> Result<()> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(status)) if status.code() == Code::AlreadyExists => Ok(()),
        Ok(Err(status)) => Err(Error::call(format!("the blob {digest}"), status)),
        Err(error) => Err(Error::Connection(error.to_string())),
    }
}
