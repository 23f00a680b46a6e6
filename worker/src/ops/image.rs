//! An image of a registry, `docker-image://REFERENCE`, or of a client's OCI layout,
//! `oci-layout://REFERENCE@DIGEST`.
//!
//! It names itself twice: by its manifest, which costs one question to the registry, and by its config,
//! under which the same image from elsewhere was seen before. Only if neither leads to a result are its
//! layers fetched.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use parking_lot::Mutex;
use slipway_model::llb::pb;
use slipway_model::{BlobDigest, Platform, Reference};
use slipway_solver::progress::Status;
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult};
use slipway_store::RecordType;

use super::cache_key::source::{ImageIdentifier, RecordType as WireRecordType, ResolveMode as WireMode};
use crate::source::image::{ImageRequest, LayerProgress, LayerState, Origin, Pinned, ResolveMode};
use crate::{Error, Place, Result, Value, Worker};

pub(super) struct ImageOp {
    worker: Arc<Worker>,
    reference: Reference,
    place: Place,
    request: ImageRequest,
    record_type: RecordType,
    /// What the name means; asked once for each vertex.
    pinned: tokio::sync::OnceCell<Arc<Pinned>>,
}

impl ImageOp {
    pub(super) fn new(
        worker: Arc<Worker>,
        text: &str,
        source: &pb::SourceOp,
        platform: Option<&pb::Platform>,
    ) -> Result<Self> {
        let failed = |reason: String| Error::Failed(format!("image source {text:?}: {reason}"));
        let identifier = ImageIdentifier::parse(text, source).map_err(|error| failed(error.to_string()))?;
        let reference: Reference = text.parse().map_err(|error| failed(format!("{error}")))?;
        let platform = match platform {
            Some(platform) => Platform::from(platform).normalized(),
            None => worker.platforms.first(),
        };
        let request = ImageRequest {
            resolve_mode: match identifier.resolve_mode {
                WireMode::Default => ResolveMode::Default,
                WireMode::ForcePull => ResolveMode::Pull,
                WireMode::PreferLocal => ResolveMode::Local,
            },
            checksum: identifier.checksum.map(BlobDigest),
            layer_limit: identifier.layer_limit,
            ..ImageRequest::new(platform)
        };
        let record_type = match identifier.record_type {
            WireRecordType::Regular => RecordType::Regular,
            WireRecordType::Internal => RecordType::Internal,
            WireRecordType::Frontend => RecordType::Frontend,
        };
        let place = match identifier.store {
            Some(store) => Place::Layout { session: identifier.session, store },
            None => Place::Registry,
        };
        Ok(Self { worker, reference, place, request, record_type, pinned: tokio::sync::OnceCell::new() })
    }

    fn origin(&self, ctx: &OpContext<Value>) -> Arc<dyn Origin> {
        self.worker.images.origin(&self.place, self.reference.clone(), ctx.sessions())
    }

    async fn pinned(&self, ctx: &OpContext<Value>) -> Result<Arc<Pinned>> {
        let pin = || async {
            let origin = self.origin(ctx);
            let pinned =
                self.worker.images.source.pin(&*origin, &self.request).await.map_err(Error::Image)?;
            Ok(Arc::new(pinned))
        };
        self.pinned.get_or_try_init(pin).await.cloned()
    }
}

#[async_trait]
impl Op<Value> for ImageOp {
    async fn cache_map(&self, ctx: &OpContext<Value>, index: usize) -> OpResult<CacheMap<Value>> {
        let pinned = self.pinned(ctx).await?;
        let keys = pinned.keys();
        let key =
            keys.get(index).or(keys.last()).ok_or_else(|| Error::Failed("an image without a key".into()))?;
        let mut map = CacheMap::new(OpDigest(*key), 0);
        map.more = index + 1 < keys.len();
        map.resolved = Some(pinned.root.digest.to_string().into());
        Ok(map)
    }

    async fn exec(&self, ctx: &OpContext<Value>, _: Vec<Value>) -> OpResult<Vec<Value>> {
        let pinned = self.pinned(ctx).await?;
        let origin = self.origin(ctx);
        let progress = Arc::new(Transfers::of(ctx));
        let fetching = self.worker.images.source.fetch(origin, &pinned, self.record_type, progress);
        let fetched = tokio::select! {
            () = ctx.stop.cancelled() => return Err(Error::Cancelled.into()),
            fetched = fetching => fetched.map_err(Error::Image)?,
        };
        Ok(vec![fetched.map_or(Value::Scratch, Value::Snapshot)])
    }
}

/// Layers on their way, as lines of the build's progress.
pub(crate) struct Transfers {
    ctx: OpContext<Value>,
    /// When each layer began, and when it was last shown.
    shown: Mutex<std::collections::HashMap<BlobDigest, (SystemTime, std::time::Instant)>>,
}

impl Transfers {
    /// Told below the vertex of `ctx`.
    pub(crate) fn of(ctx: &OpContext<Value>) -> Self {
        Self { ctx: ctx.clone(), shown: Mutex::default() }
    }
}

impl LayerProgress for Transfers {
    fn layer(&self, layer: &BlobDigest, state: LayerState, current: u64, total: u64) {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(150);
        let done = matches!(state, LayerState::Done | LayerState::Exists);
        let now = std::time::Instant::now();
        let mut shown = self.shown.lock();
        let known = shown.get(layer).copied();
        if !done && known.is_some_and(|(_, last)| now.duration_since(last) < PAUSE) {
            return;
        }
        let started = known.map_or_else(SystemTime::now, |(started, _)| started);
        shown.insert(*layer, (started, now));
        drop(shown);
        let name = match state {
            LayerState::Pulling => format!("{layer}"),
            LayerState::Unpacking => format!("extracting {layer}"),
            LayerState::Done | LayerState::Exists => format!("{layer}"),
        };
        self.ctx.status(Status {
            id: layer.to_string(),
            name,
            current,
            total,
            started: Some(started),
            completed: done.then(SystemTime::now),
        });
    }
}
