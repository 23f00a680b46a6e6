//! Image names, asked for on behalf of a build.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use slipway_model::{BlobDigest, Platform, Reference};
use slipway_proto::gateway::ResolveSourceMetaRequest;
use slipway_proto::pb;
use slipway_proto::policy::Policy;
use slipway_worker::Place;
use tokio::sync::OnceCell;

use super::failure::Failure;
use super::{Build, sources};
use crate::engine::Engine;

/// Which image is meant, and how it is looked for.
#[derive(Default)]
pub(crate) struct ImageQuestion {
    pub reference: String,
    pub platform: Option<Platform>,
    /// `default` (also if empty), `pull` or `local`.
    pub mode: String,
    /// What the build's progress calls it; may be empty.
    pub log_name: String,
    pub place: Place,
    /// Beside those of the build.
    pub policies: Vec<Policy>,
}

/// What a name means for one platform.
#[derive(Clone)]
pub(crate) struct ResolvedImage {
    /// As asked, unless a policy wants another.
    pub reference: String,
    pub digest: BlobDigest,
    pub config: Bytes,
}

/// What came of a question.
#[derive(Clone)]
pub(crate) enum Answer {
    Image(ResolvedImage),
    /// A policy wants this source instead, which is no image.
    Other(String),
}

impl Answer {
    /// For who has no use for anything else; `reference` is what was asked for.
    pub(crate) fn image(self, reference: &str) -> Result<ResolvedImage, Failure> {
        match self {
            Self::Image(image) => Ok(image),
            Self::Other(instead) => Err(Failure::invalid(format!(
                "ref mutated by policy to non-image: docker-image://{reference} -> {instead}"
            ))),
        }
    }
}

pub(crate) fn default_platform(engine: &Engine) -> Platform {
    engine.worker.platforms.first()
}

/// Names that a build has asked about: each once, however many stages begin with it.
#[derive(Default)]
pub(crate) struct Resolved(Mutex<HashMap<String, Arc<OnceCell<Answer>>>>);

/// Resolves a name, once for each build.
pub(crate) async fn resolve(
    engine: &Arc<Engine>,
    build: &Build,
    question: ImageQuestion,
) -> Result<Answer, Failure> {
    let ImageQuestion { reference, platform, mode, place, policies, .. } = &question;
    let parsed: Reference = reference
        .parse()
        .map_err(|error| Failure::invalid(format!("invalid reference {reference:?}: {error}")))?;
    if !policies.is_empty() {
        return resolve_now(engine, build, parsed, question).await;
    }
    let platform = platform.clone().unwrap_or_else(|| default_platform(engine));
    let key = format!("{place:?} {parsed} {platform} {mode:?}");
    let once = build.resolved.0.lock().entry(key).or_default().clone();
    once.get_or_try_init(|| resolve_now(engine, build, parsed, question)).await.cloned()
}

async fn resolve_now(
    engine: &Arc<Engine>,
    build: &Build,
    parsed: Reference,
    question: ImageQuestion,
) -> Result<Answer, Failure> {
    let reference = parsed.or_latest();
    let attribute = |key: &str, value: String| (key.to_owned(), value);
    let source = match question.place {
        Place::Registry => {
            pb::SourceOp { identifier: format!("docker-image://{reference}"), ..Default::default() }
        }
        Place::Layout { session, store } => pb::SourceOp {
            identifier: format!("oci-layout://{reference}"),
            attrs: session
                .map(|session| attribute("oci.session", session))
                .into_iter()
                .chain([attribute("oci.store", store)])
                .collect(),
        },
    };
    let request = ResolveSourceMetaRequest {
        source: Some(source),
        platform: question.platform.as_ref().map(Into::into),
        log_name: question.log_name,
        resolve_mode: question.mode,
        source_policies: question.policies,
        ..ResolveSourceMetaRequest::default()
    };
    let response = sources::resolve(engine, build, request).await?;
    let identifier = response.source.map(|source| source.identifier).unwrap_or_default();
    let Some(image) = response.image else { return Ok(Answer::Other(identifier)) };
    let digest = image.digest.parse().map_err(|error| Failure::internal(format!("{identifier}: {error}")))?;
    let reference = identifier.split_once("://").map_or(identifier.as_str(), |(_, name)| name).to_owned();
    Ok(Answer::Image(ResolvedImage { reference, digest, config: image.config }))
}
