//! Image names, asked for on behalf of a build.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use slipway_model::{BlobDigest, Platform, Reference};
use slipway_worker::Place;
use slipway_worker::source::image::ResolveMode;
use tokio::sync::OnceCell;

use super::Build;
use super::failure::Failure;
use crate::engine::Engine;
use slipway_solver::with_causes;

/// What a name means for one platform.
#[derive(Clone)]
pub(crate) struct ResolvedImage {
    pub digest: BlobDigest,
    pub config: Bytes,
}

pub(crate) fn default_platform(engine: &Engine) -> Platform {
    engine.worker.platforms.first()
}

/// Names that a build has asked about: each once, however many stages begin with it.
#[derive(Default)]
pub(crate) struct Resolved(Mutex<HashMap<String, Arc<OnceCell<ResolvedImage>>>>);

/// Resolves `reference`, once for each build; the build's progress shows it as `log_name`, unless that is empty.
pub(crate) async fn resolve(
    engine: &Arc<Engine>,
    build: &Build,
    reference: &str,
    platform: Option<Platform>,
    mode: &str,
    log_name: &str,
    place: Place,
) -> Result<ResolvedImage, Failure> {
    let parsed: Reference = reference
        .parse()
        .map_err(|error| Failure::invalid(format!("invalid reference {reference:?}: {error}")))?;
    let mode: ResolveMode = mode.parse().map_err(Failure::from_error)?;
    let platform = platform.unwrap_or_else(|| default_platform(engine));
    let key = format!("{place:?} {parsed} {platform} {mode:?}");
    let once = build.resolved.0.lock().entry(key).or_default().clone();
    let resolving = || resolve_now(engine, build, parsed, platform, mode, log_name, &place);
    once.get_or_try_init(resolving).await.cloned()
}

async fn resolve_now(
    engine: &Arc<Engine>,
    build: &Build,
    parsed: Reference,
    platform: Platform,
    mode: ResolveMode,
    log_name: &str,
    place: &Place,
) -> Result<ResolvedImage, Failure> {
    let sessions = vec![build.session.clone()];
    let name =
        if log_name.is_empty() { format!("resolve image config for {parsed}") } else { log_name.to_owned() };
    let step = build.journal.step(&name);
    let resolving = engine.worker.images.resolve(place, parsed.or_latest(), platform, mode, sessions);
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
