//! OCI layouts of a build: their blobs, to read, and to add to where the build's output goes into one.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures::Stream;
use slipway_model::Digest;
use slipway_proto::content as wire;
use slipway_proto::content::content_server::Content;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::ingest;
use crate::caller::content::STORE;

const PIECE: usize = 512 << 10;

/// An OCI layout that is offered.
#[derive(Clone, Debug)]
pub struct Layout {
    pub folder: PathBuf,
    /// Whether blobs may be added.
    pub writable: bool,
}

/// Layouts by the name of their store.
pub(super) struct Layouts(pub HashMap<String, Layout>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Layouts {
    fn layout(&self, metadata: &MetadataMap) -> Result<&Layout, Status> {
        let store = metadata.get(STORE).and_then(|store| store.to_str().ok());
        let store =
            store.ok_or_else(|| Status::invalid_argument(format!("request lacks metadata {STORE:?}")))?;
        self.0.get(store).ok_or_else(|| Status::not_found(format!("unknown store {store}")))
    }

    /// Where a blob is.
    fn blob(&self, metadata: &MetadataMap, digest: &str) -> Result<PathBuf, Status> {
        Ok(path(&self.layout(metadata)?.folder, &parse(digest)?))
    }
}

/// A digest that is parsed cannot name anything but a blob.
pub(super) fn parse(digest: &str) -> Result<Digest, Status> {
    digest.parse().map_err(|error| Status::invalid_argument(format!("{digest:?}: {error}")))
}

pub(super) fn path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs").join(digest.algorithm()).join(digest.hex())
}

fn failed(digest: &str, error: &std::io::Error) -> Status {
    match error.kind() {
        std::io::ErrorKind::NotFound => Status::not_found(format!("{digest}: not found")),
        _ => Status::unknown(format!("{digest}: {error}")),
    }
}

fn read_only<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this store is read-only"))
}

#[async_trait::async_trait]
impl Content for Layouts {
    type ListStream = Answers<wire::ListContentResponse>;
    type ReadStream = Answers<wire::ReadContentResponse>;
    type WriteStream = Answers<wire::WriteContentResponse>;

    async fn info(
        &self,
        request: Request<wire::InfoRequest>,
    ) -> Result<Response<wire::InfoResponse>, Status> {
        let digest = request.get_ref().digest.clone();
        let path = self.blob(request.metadata(), &digest)?;
        let found = tokio::fs::metadata(path).await.map_err(|error| failed(&digest, &error))?;
        let size = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let info = wire::Info { digest, size, ..wire::Info::default() };
        Ok(Response::new(wire::InfoResponse { info: Some(info) }))
    }

    async fn read(
        &self,
        request: Request<wire::ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let wire::ReadContentRequest { digest, offset, size } = request.get_ref().clone();
        let path = self.blob(request.metadata(), &digest)?;
        let start = u64::try_from(offset).map_err(|_| Status::invalid_argument("a negative offset"))?;
        let (pieces, answers) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let limit = u64::try_from(size).ok().filter(|size| *size > 0).unwrap_or(u64::MAX);
            let sent = std::fs::File::open(path).and_then(|mut file| {
                file.seek(SeekFrom::Start(start))?;
                send(file.take(limit), offset, &pieces)
            });
            if let Err(error) = sent {
                let _ = pieces.blocking_send(Err(failed(&digest, &error)));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn update(
        &self,
        _: Request<wire::UpdateRequest>,
    ) -> Result<Response<wire::UpdateResponse>, Status> {
        read_only()
    }

    async fn list(&self, _: Request<wire::ListContentRequest>) -> Result<Response<Self::ListStream>, Status> {
        Err(Status::unimplemented("blobs are found by digest"))
    }

    async fn delete(&self, _: Request<wire::DeleteContentRequest>) -> Result<Response<()>, Status> {
        read_only()
    }

    async fn status(
        &self,
        _: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        read_only()
    }

    async fn list_statuses(
        &self,
        _: Request<wire::ListStatusesRequest>,
    ) -> Result<Response<wire::ListStatusesResponse>, Status> {
        read_only()
    }

    async fn write(
        &self,
        request: Request<Streaming<wire::WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let layout = self.layout(request.metadata())?.clone();
        if !layout.writable {
            return read_only();
        }
        Ok(Response::new(Box::pin(ingest::receive(layout.folder, request.into_inner()))))
    }

    async fn abort(&self, _: Request<wire::AbortRequest>) -> Result<Response<()>, Status> {
        read_only()
    }
}

/// Ends early, without an error, when nobody reads any more.
fn send(
    mut file: impl Read,
    mut offset: i64,
    pieces: &mpsc::Sender<Result<wire::ReadContentResponse, Status>>,
) -> std::io::Result<()> {
    loop {
        let mut data = vec![0; PIECE];
        let length = file.read(&mut data)?;
        if length == 0 {
            return Ok(());
        }
        data.truncate(length);
        let piece = wire::ReadContentResponse { offset, data: data.into() };
        if pieces.blocking_send(Ok(piece)).is_err() {
            return Ok(());
        }
        offset += length as i64;
    }
}
