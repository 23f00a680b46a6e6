//! One blob of a registry, `docker-image+blob://NAME@DIGEST`, or of a client's OCI layout,
//! `oci-layout+blob://NAME@DIGEST`, as a file.
//!
//! Its digest is its key: nobody is asked before somebody wants the bytes.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use slipway_model::llb::pb;
use slipway_model::{BlobDigest, Descriptor, Digest, Reference};
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult};
use slipway_store::Ref;
use tokio_util::io::ReaderStream;

use super::oci_layout::{LayoutReader as _, SessionLayout};
use super::save::{File, Pieces, mode, owner, safe_name, save};
use crate::ops::cache_key::source::BlobIdentifier;
use crate::{Error, Place, Result, Value, Worker};

pub(crate) const REGISTRY: &str = "docker-image+blob";
pub(crate) const LAYOUT: &str = "oci-layout+blob";
/// Of a blob whose type nobody told.
const ANY_TYPE: &str = "application/octet-stream";

pub(crate) struct BlobOp {
    worker: Arc<Worker>,
    identifier: BlobIdentifier,
    /// `NAME@DIGEST`.
    name: String,
    place: Place,
}

impl BlobOp {
    /// `name` is the identifier without its scheme.
    pub(crate) fn new(worker: Arc<Worker>, scheme: &str, name: &str, source: &pb::SourceOp) -> Result<Self> {
        let mut identifier =
            BlobIdentifier::parse(name, source).map_err(|error| Error::Failed(error.to_string()))?;
        // Without a name the digest has to do.
        identifier.filename = match identifier.filename.as_str() {
            "" => String::new(),
            wanted => safe_name(wanted),
        };
        let place = match (scheme, identifier.store.clone()) {
            (LAYOUT, Some(store)) => Place::Layout { session: identifier.session.clone(), store },
            (LAYOUT, None) => {
                return Err(Error::Failed("oci-layout blob source requires store id".into()));
            }
            _ => Place::Registry,
        };
        Ok(Self { worker, identifier, name: name.to_owned(), place })
    }

    async fn fetch(&self, ctx: &OpContext<Value>) -> Result<Ref> {
        let digest = self.identifier.digest;
        let pieces = open(&self.worker, &self.place, &self.name, digest, ctx.sessions()).await?;
        let file = File {
            name: match self.identifier.filename.as_str() {
                "" => digest.hex(),
                name => name.to_owned(),
            },
            mode: mode(self.identifier.mode),
            uid: owner(self.identifier.uid)?,
            gid: owner(self.identifier.gid)?,
            modified: None,
        };
        let (snapshot, found) = save(&self.worker.store, pieces, file, format!("blob {}", self.name)).await?;
        if found == digest { Ok(snapshot) } else { Err(mismatch(&self.name, &digest, &found)) }
    }
}

/// Begins to read the blob of this name.
pub(super) async fn open(
    worker: &Worker,
    place: &Place,
    name: &str,
    digest: Digest,
    sessions: Vec<String>,
) -> Result<Pieces> {
    let failed = |reason: String| Error::Failed(format!("blob {name}: {reason}"));
    match place {
        Place::Layout { session, store } => {
            let sessions = session.clone().map_or(sessions, |session| vec![session]);
            let layout = SessionLayout::new(worker.sessions.clone(), sessions, format!("oci:{store}"));
            let reader = layout.read_blob(&BlobDigest(digest), 0).await;
            let reader = reader.map_err(|error| failed(error.to_string()))?;
            let name = name.to_owned();
            Ok(ReaderStream::new(reader)
                .map_err(move |error| Error::io(format!("cannot read blob {name}"), error))
                .boxed())
        }
        Place::Registry => {
            let reference: Reference = name.parse().map_err(|error| failed(format!("{error}")))?;
            let client = worker.images.client(sessions);
            let url = format!("{REGISTRY}://{name}");
            let broken = move |source: slipway_registry::Error| Error::Download {
                url: url.clone(),
                source: Box::new(source),
            };
            let size = client.blob_size(&reference, &digest).await.map_err(&broken)?;
            let descriptor = Descriptor::new(ANY_TYPE, BlobDigest(digest), size);
            let stream = client.pull_unverified(&reference, &descriptor, 0).await.map_err(&broken)?;
            Ok(stream.map_err(broken).boxed())
        }
    }
}

/// The error for bytes that are not those that were asked for.
pub(super) fn mismatch(name: &str, expected: &Digest, found: &Digest) -> Error {
    Error::Failed(format!("blob {name}: expected checksum to match {expected}, got {found}"))
}

#[async_trait]
impl Op<Value> for BlobOp {
    async fn cache_map(&self, _: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        let mut map = CacheMap::new(OpDigest(self.identifier.key().digest), 0);
        map.resolved = Some(self.identifier.digest.to_string().into());
        Ok(map)
    }

    async fn exec(&self, ctx: &OpContext<Value>, _: Vec<Value>) -> OpResult<Vec<Value>> {
        tokio::select! {
            () = ctx.stop.cancelled() => Err(Error::Cancelled.into()),
            snapshot = self.fetch(ctx) => Ok(vec![Value::Snapshot(snapshot?)]),
        }
    }
}
