//! Questions about sources, asked on behalf of a build: judged by its policies, shown in its progress.

use std::sync::Arc;

use slipway_model::Platform;
use slipway_proto::gateway::{ResolveSourceMetaRequest, ResolveSourceMetaResponse};
use slipway_proto::policy::Policy;
use slipway_worker::policy::Rules;
use slipway_worker::source::metadata::{self, Metadata};

use super::Build;
use super::failure::Failure;
use crate::engine::Engine;
use crate::provenance::ImageSource;

/// What a source stands for just now. The answer names the source that policies want, which may be another than the
/// one that was asked about.
pub(crate) async fn resolve(
    engine: &Arc<Engine>,
    build: &Build,
    mut request: ResolveSourceMetaRequest,
) -> Result<ResolveSourceMetaResponse, Failure> {
    let Some(source) = request.source.take() else {
        return Err(Failure::invalid("source is required"));
    };
    if !source.identifier.contains("://") {
        return Err(Failure::invalid(format!("the source {:?} has no scheme", source.identifier)));
    }
    let rules = rules(std::mem::take(&mut request.source_policies))?;
    let (worker, sources) = (&engine.worker, &build.scope.sources);
    let admitted = sources.admit(worker, &rules, &source, request.platform.as_ref()).await;
    let source = admitted
        .map_err(|error| Failure::from_worker(error).context("could not resolve image due to policy"))?;
    let step = build.journal.step(&step_name(&request.log_name, &source.identifier));
    request.source = Some(source);
    let resolved = metadata::resolve(worker, sources, &request, sources.sessions()).await;
    match resolved.map_err(Failure::from_worker) {
        Ok(Metadata { response, warning, .. }) => {
            if let Some(warning) = warning {
                step.warn(warning.to_string());
            }
            step.done();
            Ok(response)
        }
        Err(failure) => {
            step.fail(failure.message());
            Err(failure)
        }
    }
}

/// The rules that came with a question.
pub(crate) fn rules(policies: Vec<Policy>) -> Result<Rules, Failure> {
    Rules::compile(policies).map_err(|error| Failure::invalid(error.to_string()))
}

fn step_name(given: &str, identifier: &str) -> String {
    if !given.is_empty() {
        return given.to_owned();
    }
    match identifier.strip_prefix("docker-image://") {
        Some(reference) => format!("resolve image config for {reference}"),
        None => format!("resolve {}", slipway_worker::source::without_credentials(identifier)),
    }
}

/// What provenance says of an answer about an image.
pub(crate) fn image_of(
    response: &ResolveSourceMetaResponse,
    platform: Option<Platform>,
) -> Option<ImageSource> {
    let (scheme, reference) = response.source.as_ref()?.identifier.split_once("://")?;
    let digest = response.image.as_ref()?.digest.parse().ok()?;
    Some(ImageSource { reference: reference.to_owned(), platform, digest, local: scheme == "oci-layout" })
}
