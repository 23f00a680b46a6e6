//! `ResolveSourceMeta`: what a source operation stands for just now, without fetching it.

use std::sync::Arc;

use slipway_model::Platform;
use slipway_proto::gateway::{
    ResolveSourceImageResponse, ResolveSourceMetaRequest, ResolveSourceMetaResponse,
};
use slipway_proto::pb;
use slipway_worker::Place;

use super::Guest;
use crate::build::failure::Failure;
use crate::build::images;
use crate::engine::Engine;
use crate::provenance::ImageSource;

pub(super) async fn resolve(
    engine: &Arc<Engine>,
    guest: &Guest,
    request: ResolveSourceMetaRequest,
) -> Result<ResolveSourceMetaResponse, Failure> {
    if !request.source_policies.iter().all(|policy| policy.rules.is_empty()) {
        return Err(Failure::unsupported("a source policy"));
    }
    let Some(source) = request.source.clone() else {
        return Err(Failure::invalid("source is required"));
    };
    let invalid = || Failure::invalid(format!("the source {:?} has no scheme", source.identifier));
    let (scheme, name) = source.identifier.split_once("://").ok_or_else(invalid)?;
    let image = match scheme {
        "docker-image" => Some(image(engine, guest, &request, name, Place::Registry).await?),
        "oci-layout" => Some(image(engine, guest, &request, name, layout(&source)).await?),
        // Its files are all there is to know.
        "local" => None,
        other => return Err(Failure::unsupported(format!("resolving the metadata of a source of {other}"))),
    };
    Ok(ResolveSourceMetaResponse { source: Some(source), image, ..ResolveSourceMetaResponse::default() })
}

fn layout(source: &pb::SourceOp) -> Place {
    let attribute = |key: &str| source.attrs.get(key).filter(|value| !value.is_empty()).cloned();
    Place::Layout { session: attribute("oci.session"), store: attribute("oci.store").unwrap_or_default() }
}

async fn image(
    engine: &Arc<Engine>,
    guest: &Guest,
    request: &ResolveSourceMetaRequest,
    name: &str,
    place: Place,
) -> Result<ResolveSourceImageResponse, Failure> {
    let wanted = request.image.clone().unwrap_or_default();
    if wanted.attestation_chain || !wanted.resolve_attestations.is_empty() {
        return Err(Failure::unsupported("resolving the attestations of an image"));
    }
    let platform = request.platform.as_ref().map(Platform::from);
    let (mode, log_name) = (&request.resolve_mode, &request.log_name);
    let local = place != Place::Registry;
    let resolving = images::resolve(engine, &guest.build, name, platform.clone(), mode, log_name, place);
    let resolved = resolving.await?;
    let (reference, digest) = (name.to_owned(), resolved.digest);
    guest.conversation.inquiry.image(ImageSource { reference, platform, digest, local });
    let config = if wanted.no_config { bytes::Bytes::new() } else { resolved.config };
    Ok(ResolveSourceImageResponse { digest: resolved.digest.to_string(), config, attestation_chain: None })
}
