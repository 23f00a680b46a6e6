//! An image as a source operation names it, and where it is.

use std::sync::Arc;

use slipway_model::llb::pb;
use slipway_model::{BlobDigest, Platform, Reference};
use slipway_store::RecordType;

use super::{ImageRequest, Origin, Pinned, ResolveMode};
use crate::ops::cache_key::source::{ImageIdentifier, RecordType as WireRecordType, ResolveMode as WireMode};
use crate::source::of_build::BuildSources;
use crate::{Error, Place, Result, Worker};

pub(crate) struct NamedImage {
    pub(crate) reference: Reference,
    pub(crate) place: Place,
    pub(crate) request: ImageRequest,
    pub(crate) record_type: RecordType,
}

impl NamedImage {
    /// `text` is the identifier of `source` without its scheme.
    pub(crate) fn parse(
        worker: &Worker,
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
        Ok(Self { reference, place, request, record_type })
    }

    pub(crate) fn origin(&self, worker: &Worker, sessions: Vec<String>) -> Arc<dyn Origin> {
        worker.images.origin(&self.place, self.reference.clone(), sessions)
    }

    /// Which image it is; asked once for each build.
    pub(crate) async fn pin(
        &self,
        worker: &Worker,
        build: &BuildSources,
        sessions: Vec<String>,
    ) -> Result<Arc<Pinned>> {
        let mut request = self.request.clone();
        if build.must_ask() && request.resolve_mode == ResolveMode::Default {
            request.resolve_mode = ResolveMode::Pull;
        }
        let question = format!("{:?} {} {request:?}", self.place, self.reference);
        let pin = || async {
            let origin = self.origin(worker, sessions);
            Ok(Arc::new(worker.images.source.pin(&*origin, &request).await.map_err(Error::Image)?))
        };
        build.images.get(&question, pin).await
    }
}
