//! Image names, asked for on behalf of a build.

use std::sync::Arc;

use bytes::Bytes;
use slipway_model::{BlobDigest, Platform, Reference};
use slipway_worker::source::image::ResolveMode;

use super::Build;
use super::failure::{Failure, with_causes};
use crate::engine::Engine;

/// What a name means for one platform.
pub(crate) struct ResolvedImage {
    pub digest: BlobDigest,
    pub config: Bytes,
}

pub(crate) fn default_platform(engine: &Engine) -> Platform {
    engine.worker.platforms.first().cloned().unwrap_or_else(Platform::host)
}

/// Resolves `reference`; the build's progress shows it as `log_name`, unless that is empty.
pub(crate) async fn resolve(
    engine: &Arc<Engine>,
    build: &Build,
    reference: &str,
    platform: Option<Platform>,
    mode: &str,
    log_name: &str,
) -> Result<ResolvedImage, Failure> {
    let parsed: Reference = reference
        .parse()
        .map_err(|error| Failure::invalid(format!("invalid reference {reference:?}: {error}")))?;
    let mode: ResolveMode = mode.parse().map_err(Failure::from_error)?;
    let platform = platform.unwrap_or_else(|| default_platform(engine));
    let sessions = vec![build.session.clone()];
    let name =
        if log_name.is_empty() { format!("resolve image config for {parsed}") } else { log_name.to_owned() };
    let step = build.journal.step(&name);
    let resolving = engine.worker.images.resolve(parsed.or_latest(), platform, mode, sessions);
    let resolved = resolving.await.map_err(|error| Failure::new(tonic::Code::Unknown, with_causes(&error)));
    let pinned = match resolved {
        Ok(pinned) => {
            step.done();
            pinned
        }
        Err(failure) => {
            step.fail(failure.message());
            return Err(failure);
        }
    };
    Ok(ResolvedImage { digest: pinned.root.digest, config: pinned.config.clone() })
}
