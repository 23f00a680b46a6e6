//! What the Dockerfile frontend asks, asked of the builder.

use async_trait::async_trait;
use bytes::Bytes;
use slipway_frontend::{
    Facts, Gateway, GatewayError, ImageConfigRequest, ResolvedImage, Warning, commit_time,
};
use slipway_frontend_image::Builder;
use slipway_model::llb::pb;
use slipway_proto::gateway::{
    ResolveImageConfigRequest, ResolveSourceGitRequest, ResolveSourceMetaRequest, ResolveSourceMetaResponse,
    WarnRequest,
};
use tonic::Status;

/// `ResolverType` of images that are in an OCI layout of a client.
const OCI_LAYOUT: i32 = 1;

pub struct BridgeGateway(Builder);

impl BridgeGateway {
    pub fn new(builder: Builder) -> Self {
        Self(builder)
    }
}

#[async_trait]
impl Gateway for BridgeGateway {
    async fn resolve_image_config(&self, request: ImageConfigRequest) -> Result<ResolvedImage, GatewayError> {
        let layout = request.oci_layout;
        let wire = ResolveImageConfigRequest {
            r#ref: request.reference.clone(),
            platform: request.platform.as_ref().map(Into::into),
            resolve_mode: request.resolve_mode,
            log_name: request.log_name,
            resolver_type: if layout.is_some() { OCI_LAYOUT } else { 0 },
            session_id: layout.as_ref().map(|layout| layout.session_id.clone()).unwrap_or_default(),
            store_id: layout.map(|layout| layout.store_id).unwrap_or_default(),
            ..ResolveImageConfigRequest::default()
        };
        let resolved = self.0.client().resolve_image_config(wire).await.map_err(said)?.into_inner();
        let reference = if resolved.r#ref.is_empty() { request.reference } else { resolved.r#ref };
        let digest = Some(&resolved.digest).filter(|digest| !digest.is_empty());
        let digest = digest.map(|digest| digest.parse()).transpose();
        let digest = digest.map_err(|error| GatewayError::Said(format!("{reference}: {error}")))?;
        Ok(ResolvedImage { reference, digest, config: resolved.config })
    }

    async fn read_file(
        &self,
        definition: &pb::Definition,
        path: &str,
    ) -> Result<Option<Bytes>, GatewayError> {
        self.0.read_file(definition, path).await.map_err(|error| GatewayError::Said(error.to_string()))
    }

    async fn warn(&self, warning: Warning) {
        let request = WarnRequest {
            digest: warning.vertex.map(|vertex| vertex.to_string()).unwrap_or_default(),
            level: warning.level,
            short: warning.short.into(),
            detail: warning.detail.into_iter().map(Into::into).collect(),
            url: warning.url,
            info: warning.info,
            ranges: warning.ranges,
        };
        // A warning that cannot be given is no reason to fail.
        let _ = self.0.client().warn(request).await;
    }

    fn facts(&self) -> &Facts {
        &self.0.facts
    }

    async fn source_time(&self, source: &pb::SourceOp, log_name: &str) -> Result<Option<i64>, GatewayError> {
        let request = ResolveSourceMetaRequest {
            source: Some(source.clone()),
            log_name: log_name.to_owned(),
            git: Some(ResolveSourceGitRequest { return_object: true }),
            ..ResolveSourceMetaRequest::default()
        };
        let answer = self.0.client().resolve_source_meta(request).await.map_err(said)?.into_inner();
        Ok(time_of(&answer))
    }
}

fn said(status: Status) -> GatewayError {
    GatewayError::Said(status.message().to_owned())
}

/// Of HTTP the last change; of git the commit's time.
fn time_of(answer: &ResolveSourceMetaResponse) -> Option<i64> {
    if let Some(http) = &answer.http {
        return http.last_modified.as_ref().map(|time| time.seconds);
    }
    commit_time(&answer.git.as_ref()?.commit_object)
}
