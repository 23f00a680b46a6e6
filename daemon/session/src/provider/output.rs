//! What exporters send back: one file as a stream of bytes, or a directory as packets.
//!
//! Both use the method `FileSend/DiffCopy`; which message type it carries depends on the exporter that
//! the request names. So this one service is written by hand over undecoded messages.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io::Write;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use futures::{Stream, StreamExt};
use prost::Message;
use rustix::fs::{Mode, OFlags};
use slipway_proto::filesync::BytesMessage;
use slipway_proto::fsutil::{Packet, Stat};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::Output;
use crate::fsutil::walk::walk;
use crate::fsutil::{Filter, ReceiveOptions, channel, receive};
use crate::{IS_ALL, LARGEST_MESSAGE};

#[derive(Clone)]
pub(super) struct FileSend(pub Arc<HashMap<usize, Output>>);

impl tonic::server::NamedService for FileSend {
    const NAME: &'static str = "moby.filesync.v1.FileSend";
}

impl tower::Service<http::Request<Body>> for FileSend {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/moby.filesync.v1.FileSend/DiffCopy" {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let mut grpc = tonic::server::Grpc::new(RawCodec).max_decoding_message_size(LARGEST_MESSAGE);
            Ok(grpc.streaming(service, request).await)
        })
    }
}

type Answer = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl tonic::server::StreamingService<Bytes> for FileSend {
    type Response = Bytes;
    type ResponseStream = Answer;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let outputs = self.0.clone();
        Box::pin(async move {
            let (metadata, _, messages) = request.into_parts();
            match outputs.get(&exporter_id(&metadata)) {
                Some(Output::File(open)) => {
                    let file =
                        open(&description(&metadata)).map_err(|error| Status::unknown(error.to_string()))?;
                    receive_file(file, messages).await
                }
                Some(Output::Directory(path)) => receive_directory(path, None, messages),
                Some(Output::Mirror(path)) => {
                    if metadata.get(IS_ALL).is_none() {
                        return Err(Status::failed_precondition(
                            "a folder with mode=delete needs a daemon that sends all of it at once",
                        ));
                    }
                    let there = path.clone();
                    let listed = tokio::task::spawn_blocking(move || list(&there)).await;
                    let listed = listed.map_err(|error| Status::internal(error.to_string()))?;
                    let index = listed.map_err(|error| Status::unknown(error.to_string()))?;
                    receive_directory(path, Some(index), messages)
                }
                None => Err(Status::not_found("this build has no such output")),
            }
        })
    }
}

fn exporter_id(metadata: &MetadataMap) -> usize {
    let id = metadata.get("buildkit-attachable-exporter-id").and_then(|id| id.to_str().ok());
    id.and_then(|id| id.parse().ok()).unwrap_or(0)
}

fn description(metadata: &MetadataMap) -> BTreeMap<String, String> {
    let texts = metadata.iter().filter_map(|entry| match entry {
        tonic::metadata::KeyAndValueRef::Ascii(key, value) => {
            Some((key.as_str().strip_prefix("exporter-md-")?.to_owned(), value.to_str().ok()?.to_owned()))
        }
        tonic::metadata::KeyAndValueRef::Binary(..) => None,
    });
    texts.collect()
}

async fn receive_file(
    mut file: Box<dyn Write + Send>,
    mut messages: Streaming<Bytes>,
) -> Result<Response<Answer>, Status> {
    let failed = |error: std::io::Error| Status::unknown(format!("cannot write the output: {error}"));
    let (chunks, mut queue) = mpsc::channel::<Bytes>(8);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(chunk) = queue.blocking_recv() {
            file.write_all(&chunk)?;
        }
        file.flush()
    });
    while let Some(message) = messages.next().await {
        let message = BytesMessage::decode(message?).map_err(|error| Status::internal(error.to_string()))?;
        if chunks.send(message.data).await.is_err() {
            break;
        }
    }
    drop(chunks);
    writing.await.map_err(|error| Status::internal(error.to_string()))?.map_err(failed)?;
    Ok(Response::new(Box::pin(futures::stream::empty())))
}

/// What is in a folder, which may not be there yet.
fn list(path: &Path) -> crate::Result<Vec<Stat>> {
    let mut index = Vec::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(crate::Error::file("open", &path.display().to_string(), error)),
        Ok(root) => walk(root.as_fd(), &Filter::default(), &mut |stat| {
            index.push(stat);
            Ok(())
        })?,
    }
    Ok(index)
}

/// With an index of what is there, what does not come is removed.
fn receive_directory(
    path: &Path,
    index: Option<Vec<Stat>>,
    messages: Streaming<Bytes>,
) -> Result<Response<Answer>, Status> {
    let failed = |error: std::io::Error| Status::unknown(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(path).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let merge = index.is_none();
    let index = index.unwrap_or_default();
    let options = ReceiveOptions { merge, index, owner: Some(owner), ..ReceiveOptions::default() };
    let packets =
        messages.map(|message| Packet::decode(message?).map_err(|error| Status::internal(error.to_string())));
    let (outgoing, answers) = channel();
    let (result, failure) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let received = receive(root, options, Box::pin(packets), outgoing).await;
        let _ = result.send(received.map_err(|error| Status::unknown(error.to_string())));
    });
    // After the last packet, the outcome: a failure here must fail the daemon's export.
    let outcome = futures::stream::once(failure)
        .filter_map(|outcome| async move { outcome.ok().and_then(Result::err).map(Err) });
    let answers = answers.map(|packet| Ok(Bytes::from(packet.encode_to_vec())));
    Ok(Response::new(Box::pin(answers.chain(outcome))))
}

/// Messages as they are.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
