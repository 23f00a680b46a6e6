//! What a frontend may ask of the builder that runs it.
//!
//! All that is not in the Dockerfile comes through here: configs of images, files of sources. There is
//! no other I/O in this crate, so the same answers always give the same graph.

use async_trait::async_trait;
use bytes::Bytes;
use slipway_model::llb::{VertexDigest, pb};
use slipway_model::{Digest, Platform};

#[async_trait]
pub trait Gateway: Send + Sync {
    /// The config of an image; may ask a registry.
    async fn resolve_image_config(&self, request: ImageConfigRequest) -> Result<ResolvedImage, GatewayError>;

    /// Solves `definition`, then reads the file at `path` of its result; `None` if there is no such file.
    async fn read_file(&self, definition: &pb::Definition, path: &str)
    -> Result<Option<Bytes>, GatewayError>;

    /// Hands a warning to whoever watches the build.
    async fn warn(&self, warning: Warning);

    fn facts(&self) -> &Facts;

    /// When a source was made, in seconds since 1970: of git the commit's time, of HTTP the
    /// `Last-Modified` header. `None` if it does not tell. Builders need it only for a
    /// `SOURCE_DATE_EPOCH` that names a source.
    async fn source_time(&self, source: &pb::SourceOp, log_name: &str) -> Result<Option<i64>, GatewayError> {
        let (identifier, _) = (&source.identifier, log_name);
        Err(GatewayError::Said(format!(
            "the time of {identifier} is not known to this builder: give SOURCE_DATE_EPOCH as a number of seconds"
        )))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfigRequest {
    /// Fully qualified, with a tag or digest.
    pub reference: String,
    pub platform: Option<Platform>,
    /// `default`, `pull` or `local`.
    pub resolve_mode: String,
    /// What progress calls the request.
    pub log_name: String,
    /// Set for an image of an OCI layout that the client holds; then no registry is to be asked.
    pub oci_layout: Option<OciLayout>,
}

/// Where an OCI layout is: a store of a client's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciLayout {
    pub session_id: String,
    pub store_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedImage {
    /// As asked, unless a policy replaced it.
    pub reference: String,
    pub digest: Option<Digest>,
    /// JSON.
    pub config: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The text is shown as it came.
    #[error("{0}")]
    Said(String),
    /// A policy wants something else in the place of an image.
    #[error("ref mutated by policy to non-image: docker-image://{reference} -> {instead}")]
    Replaced {
        reference: String,
        /// A source with its scheme.
        instead: String,
    },
}

/// When a git commit was made, in seconds since 1970: of its bytes, the time in the line
/// `committer NAME <MAIL> SECONDS ZONE`.
pub fn commit_time(commit: &[u8]) -> Option<i64> {
    let commit = String::from_utf8_lossy(commit);
    let committer = commit.lines().find_map(|line| line.strip_prefix("committer "))?;
    committer.rsplit(' ').nth(1)?.parse().ok()
}

#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    pub level: i64,
    /// One line.
    pub short: String,
    pub detail: Vec<String>,
    /// A page about it; may be empty.
    pub url: String,
    pub info: Option<pb::SourceInfo>,
    pub ranges: Vec<pb::Range>,
    /// The step it belongs to: the one that loaded the Dockerfile.
    pub vertex: Option<VertexDigest>,
}

/// What is the same for a whole build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Of the client, which serves local sources.
    pub session_id: String,
    /// What the builder can run; the first one is its own. Empty: this machine's.
    pub build_platforms: Vec<Platform>,
}
