//! The directories of a build, sent on demand.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use slipway_proto::filesync::file_sync_server::FileSync;
use slipway_proto::fsutil::Packet;
use tokio_stream::StreamExt;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::fsutil::{Directory, Filter, channel, send};
use crate::stream::query_unescape;

pub(super) struct Files(pub HashMap<String, PathBuf>);

type PacketStream = std::pin::Pin<Box<dyn futures::Stream<Item = Result<Packet, Status>> + Send>>;

#[async_trait::async_trait]
impl FileSync for Files {
    type DiffCopyStream = PacketStream;
    type TarStreamStream = PacketStream;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let metadata = request.metadata();
        let name = values(metadata, "dir-name").into_iter().next().unwrap_or_default();
        let path = self
            .0
            .get(&name)
            .ok_or_else(|| Status::not_found(format!("no access allowed to dir {name:?}")))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| Status::not_found(format!("{}: {error}", path.display())))?;
        let patterns = |key| values(metadata, key);
        let (include, exclude) = (patterns("include-patterns"), patterns("exclude-patterns"));
        let filter = Filter::new(root.as_fd(), &include, &exclude, &patterns("followpaths"))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (outgoing, packets) = channel();
        tokio::spawn(async move {
            // Owners on the client's machine mean nothing in an image.
            let map = |stat: &mut slipway_proto::fsutil::Stat| {
                (stat.uid, stat.gid) = (0, 0);
                true
            };
            let source = Directory { root, filter, map: Some(Box::new(map)) };
            if let Err(error) = send(source, request.into_inner(), outgoing).await {
                tracing::debug!(%error, "sending a directory ended early");
            }
        });
        Ok(Response::new(Box::pin(packets.map(Ok))))
    }

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("use DiffCopy"))
    }
}

fn values(metadata: &MetadataMap, key: &str) -> Vec<String> {
    let is_encoded =
        metadata.get(format!("{key}-encoded")).is_some_and(|value| value == "1" || value == "true");
    let texts = metadata.get_all(key).iter().filter_map(|value| value.to_str().ok());
    texts
        .map(|text| match is_encoded {
            true => query_unescape(text).unwrap_or_default(),
            false => text.to_owned(),
        })
        .collect()
}
