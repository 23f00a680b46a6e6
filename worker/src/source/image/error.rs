//! What can go wrong with an image; messages name the image as the user wrote it.

use slipway_model::{BlobDigest, Platform};
use slipway_store::layer::LayerError;

use crate::ops::cache_key::CacheKeyError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Registry(#[from] slipway_registry::Error),
    #[error(transparent)]
    Store(#[from] slipway_store::Error),
    #[error("cannot unpack {name}")]
    Layer {
        name: String,
        #[source]
        source: Box<LayerError>,
    },
    #[error("image digest {actual} for {name} does not match expected checksum {expected}")]
    Checksum { name: String, expected: Box<BlobDigest>, actual: Box<BlobDigest> },
    #[error("{name}: {digest} is not what was asked for: got {actual}")]
    Corrupt { name: String, digest: Box<BlobDigest>, actual: Box<BlobDigest> },
    #[error("{name}: {what} is larger than the limit of {limit} bytes")]
    TooLarge { name: String, what: String, limit: u64 },
    #[error("{name}: {what} {digest} cannot be read: {reason}")]
    Malformed { name: String, what: &'static str, digest: Box<BlobDigest>, reason: String },
    #[error("{name}: no match for platform {wanted} in manifest: not found; there is {}", list(available))]
    NoPlatform { name: String, wanted: Box<Platform>, available: Vec<Platform> },
    #[error("{name}: mismatched image rootfs and manifest layers: {diff_ids} and {layers}")]
    Layers { name: String, diff_ids: usize, layers: usize },
    #[error("layer limit {limit} is greater than the number of layers in the image {layers}")]
    LayerLimit { limit: usize, layers: usize },
    #[error(transparent)]
    CacheKey(#[from] CacheKeyError),
    #[error("invalid resolvemode: {0}")]
    ResolveMode(String),
    #[error("{name}: the OCI layout has no such image: {reason}")]
    NotInLayout { name: String, reason: String },
    #[error("{name}: cannot read the OCI layout")]
    Layout {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{name}: cannot read blob {digest}")]
    Blob {
        name: String,
        digest: Box<BlobDigest>,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the work was stopped before it was done")]
    Stopped(#[source] tokio::task::JoinError),
}

impl Error {
    /// Nobody answered: what is known from before may do.
    pub(super) fn is_unreachable(&self) -> bool {
        use slipway_registry::Error::{Unavailable, Unreachable};
        matches!(self, Self::Registry(Unreachable { .. } | Unavailable { .. }))
    }
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none".into();
    }
    platforms.iter().map(Platform::slug).collect::<Vec<_>>().join(", ")
}
