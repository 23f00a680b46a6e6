//! containerd's content service, for reading what records of builds point to.
//!
//! Clients export a record with its log and its results. Nothing else of the store can be seen, and nothing can be
//! written: blobs come with builds.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use slipway_proto::content as wire;
use slipway_store::Filter;
use tonic::{Request, Response, Status, Streaming};

use crate::engine::Engine;
use crate::history::ContentInfo;

/// Bytes of one answer.
const PIECE: u64 = 512 << 10;
/// Infos of one answer.
const PAGE: usize = 100;

pub(crate) struct Content(pub Arc<Engine>);

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait::async_trait]
impl wire::content_server::Content for Content {
    type ListStream = Answers<wire::ListContentResponse>;
    type ReadStream = Answers<wire::ReadContentResponse>;
    type WriteStream = Answers<wire::WriteContentResponse>;

    async fn info(&self, request: Request<wire::InfoRequest>) -> Answer<wire::InfoResponse> {
        let found = self.0.history.content_info(&request.into_inner().digest)?;
        Ok(Response::new(wire::InfoResponse { info: Some(info(&found)) }))
    }

    async fn list(&self, request: Request<wire::ListContentRequest>) -> Answer<Self::ListStream> {
        let filter = Filter::parse_all(&request.into_inner().filters)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let history = self.0.history.clone();
        let found = tokio::task::spawn_blocking(move || history.all_content());
        let mut found = found.await.map_err(|error| Status::internal(error.to_string()))??;
        found.retain(|info| filter.matches_fields(|name| field(info, name)));
        let pages: Vec<_> = found
            .chunks(PAGE)
            .map(|page| Ok(wire::ListContentResponse { info: page.iter().map(info).collect() }))
            .collect();
        Ok(Response::new(Box::pin(futures::stream::iter(pages))))
    }

    async fn read(&self, request: Request<wire::ReadContentRequest>) -> Answer<Self::ReadStream> {
        let wire::ReadContentRequest { digest, offset, size } = request.into_inner();
        let file = self.0.history.open_content(&digest)?;
        let length = file.metadata().map_err(|error| Status::internal(error.to_string()))?.len();
        let number = |name: &str, number: i64| {
            u64::try_from(number).map_err(|_| Status::invalid_argument(format!("the {name} is negative")))
        };
        let (offset, size) = (number("offset", offset)?, number("size", size)?);
        if offset > length {
            return Err(Status::out_of_range(format!(
                "offset {offset} is beyond the {length} bytes of {digest}"
            )));
        }
        // No size is all that follows.
        let end = if size == 0 { length } else { offset.saturating_add(size) };
        if end > length {
            return Err(Status::out_of_range(format!("{digest} has {length} bytes, not {end}")));
        }
        Ok(Response::new(pieces(file, offset, end)))
    }

    /// Nothing is ever under way.
    async fn status(&self, request: Request<wire::StatusRequest>) -> Answer<wire::StatusResponse> {
        Err(Status::not_found(format!("nothing is being written as {:?}", request.into_inner().r#ref)))
    }

    async fn list_statuses(
        &self,
        _: Request<wire::ListStatusesRequest>,
    ) -> Answer<wire::ListStatusesResponse> {
        Ok(Response::new(wire::ListStatusesResponse::default()))
    }

    async fn update(&self, _: Request<wire::UpdateRequest>) -> Answer<wire::UpdateResponse> {
        Err(read_only())
    }

    async fn delete(&self, _: Request<wire::DeleteContentRequest>) -> Answer<()> {
        Err(read_only())
    }

    async fn write(&self, _: Request<Streaming<wire::WriteContentRequest>>) -> Answer<Self::WriteStream> {
        Err(read_only())
    }

    async fn abort(&self, _: Request<wire::AbortRequest>) -> Answer<()> {
        Err(read_only())
    }
}

fn read_only() -> Status {
    Status::permission_denied("content can only be read: it comes and goes with the records of builds")
}

fn info(of: &ContentInfo) -> wire::Info {
    wire::Info {
        digest: of.digest.to_string(),
        size: i64::try_from(of.size).unwrap_or(i64::MAX),
        created_at: Some(of.created.into()),
        updated_at: Some(of.created.into()),
        labels: Default::default(),
    }
}

fn field(info: &ContentInfo, name: &str) -> Option<String> {
    match name {
        "digest" => Some(info.digest.to_string()),
        "size" => Some(info.size.to_string()),
        _ => None,
    }
}

/// The bytes from `offset` to `end`, one piece after the other is taken.
fn pieces(file: File, offset: u64, end: u64) -> Answers<wire::ReadContentResponse> {
    let file = Arc::new(file);
    Box::pin(futures::stream::unfold(offset, move |offset| {
        let file = file.clone();
        async move {
            let length = end.saturating_sub(offset).min(PIECE);
            if length == 0 {
                return None;
            }
            let read = tokio::task::spawn_blocking(move || read(&file, offset, length)).await;
            let piece = read.unwrap_or_else(|error| Err(io::Error::other(error))).map(|data| {
                wire::ReadContentResponse { offset: i64::try_from(offset).unwrap_or(i64::MAX), data }
            });
            // After an error nothing follows.
            let next = if piece.is_ok() { offset + length } else { end };
            Some((piece.map_err(|error| Status::data_loss(error.to_string())), next))
        }
    }))
}

fn read(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}
