//! What the built-in frontend asks of the builder.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_frontend::{Facts, Gateway, GatewayError, ImageConfigRequest, ResolvedImage, Warning};
use slipway_model::llb::pb;
use slipway_proto::gateway::{ResolveSourceGitRequest, ResolveSourceHttpResponse, ResolveSourceMetaRequest};
use slipway_worker::source::metadata;
use slipway_worker::{Place, Value};

use super::Build;
use super::failure::Failure;
use super::images::{self, Answer, ImageQuestion};
use super::journal::WarningEntry;
use super::sources;
use crate::bridge::Reference;
use crate::engine::Engine;
use crate::provenance::{ImageSource, Inquiry};

/// A Dockerfile or an ignore file is not larger than this.
const LARGEST_FILE: u64 = 16 << 20;

pub(crate) struct BuildGateway {
    pub engine: Arc<Engine>,
    pub build: Arc<Build>,
    /// Whose questions these are.
    pub inquiry: Arc<Inquiry>,
    pub facts: Facts,
}

#[async_trait]
impl Gateway for BuildGateway {
    async fn resolve_image_config(&self, request: ImageConfigRequest) -> Result<ResolvedImage, GatewayError> {
        let ImageConfigRequest { reference, platform, resolve_mode, log_name, oci_layout } = request;
        let place = oci_layout.map_or(Place::Registry, |layout| Place::Layout {
            session: Some(layout.session_id).filter(|session| !session.is_empty()),
            store: layout.store_id,
        });
        let (asked, local) = (reference.clone(), place != Place::Registry);
        let wanted = platform.clone();
        let question =
            ImageQuestion { reference, platform, mode: resolve_mode, log_name, place, ..Default::default() };
        let answer = images::resolve(&self.engine, &self.build, question).await;
        match answer.map_err(|failure| gateway_error(&failure))? {
            Answer::Image(images::ResolvedImage { reference, digest, config }) => {
                let image = ImageSource { reference: reference.clone(), platform: wanted, digest, local };
                self.inquiry.image(image);
                Ok(ResolvedImage { reference, digest: Some(digest.0), config })
            }
            Answer::Other(instead) => Err(GatewayError::Replaced { reference: asked, instead }),
        }
    }

    async fn source_time(&self, source: &pb::SourceOp, log_name: &str) -> Result<Option<i64>, GatewayError> {
        let request = ResolveSourceMetaRequest {
            source: Some(source.clone()),
            log_name: log_name.to_owned(),
            git: Some(ResolveSourceGitRequest { return_object: true }),
            ..ResolveSourceMetaRequest::default()
        };
        let answer = sources::resolve(&self.engine, &self.build, request).await;
        let answer = answer.map_err(|failure| gateway_error(&failure))?;
        match (answer.http, answer.source) {
            (Some(ResolveSourceHttpResponse { last_modified: Some(time), .. }), _) => {
                return Ok(Some(time.seconds));
            }
            (Some(_), Some(source)) => {
                let archive =
                    metadata::time_of_archive(&self.engine.worker, &self.build.scope.sources, &source).await;
                return archive.map_err(|error| gateway_error(&Failure::from_worker(error)));
            }
            _ => {}
        }
        Ok(answer.git.and_then(|git| slipway_frontend::commit_time(&git.commit_object)))
    }

    async fn read_file(
        &self,
        definition: &pb::Definition,
        path: &str,
    ) -> Result<Option<Bytes>, GatewayError> {
        let Some(reference) = Reference::new(definition.clone()) else { return Ok(None) };
        self.inquiry.graph(&reference);
        let value = reference.value(&self.engine, &self.build).await;
        let value = value.map_err(|failure| gateway_error(&failure))?;
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || read_file(&value, &path));
        read.await
            .map_err(|error| GatewayError::Said(error.to_string()))?
            .map_err(|failure| gateway_error(&failure))
    }

    async fn warn(&self, warning: Warning) {
        let entry = WarningEntry {
            level: warning.level,
            short: warning.short.into(),
            detail: warning.detail.into_iter().map(Into::into).collect(),
            url: warning.url,
            info: warning.info,
            ranges: warning.ranges,
        };
        self.build.journal.warn(warning.vertex.map(|vertex| vertex.to_string()).unwrap_or_default(), entry);
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The bytes of a file of `value`; `None` if there is no such file.
pub(crate) fn read_file(value: &Value, path: &str) -> Result<Option<Bytes>, Failure> {
    let Some(tree) = value.mount().map_err(Failure::from_error)? else { return Ok(None) };
    match slipway_store::inroot::read_to_limit(tree.root(), std::path::Path::new(path), LARGEST_FILE) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(Failure::from_error(error)),
    }
}

fn gateway_error(failure: &Failure) -> GatewayError {
    GatewayError::Said(failure.message().to_owned())
}
