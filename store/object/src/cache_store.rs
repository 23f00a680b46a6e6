//! What a cache needs of a place: blobs by digest, and configs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_model::{BlobDigest, Descriptor};
use slipway_registry::{BlobReader, BlobSource};

use crate::Result;

/// The largest config that is read into memory: a million records.
pub(crate) const LARGEST_CONFIG: u64 = 256 << 20;

/// A place that keeps caches.
#[async_trait]
pub trait CacheStore: Send + Sync {
    /// The configs that are there, none for a cache that nobody has written yet.
    async fn configs(&self) -> Result<Vec<Bytes>>;

    /// Replaces the config. All blobs that it names are there.
    async fn write_config(&self, json: Bytes) -> Result<()>;

    /// Whether the blob is there, and stays for a while.
    async fn has(&self, blob: &BlobDigest) -> Result<bool>;

    /// Writes a blob whose digest and size are `descriptor`'s. Somebody may have done so meanwhile.
    async fn write(&self, descriptor: &Descriptor, source: Arc<dyn BlobSource>) -> Result<()>;

    /// The blob from `offset` on. Its size is checked; who takes it verifies its digest.
    async fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<BlobReader>;
}
