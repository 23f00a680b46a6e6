//! A cache in a store that keeps objects by name.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use slipway_model::{BlobDigest, Descriptor};
use slipway_registry::{BlobReader, BlobSource};

use crate::cache_store::CacheStore;
use crate::{Error, Result};

/// A store of objects.
#[async_trait]
pub(crate) trait Objects: Send + Sync {
    /// For people.
    fn name(&self) -> String;

    /// Whether the object is there. One that would soon be removed for its age is made young.
    async fn keep(&self, object: &str) -> Result<bool>;

    /// All of a small object; `None` if it is not there.
    async fn small(&self, object: &str) -> Result<Option<Bytes>>;

    /// `None` if it is not there.
    async fn open(&self, object: &str, offset: u64, size: u64) -> Result<Option<BlobReader>>;

    /// Whole or not at all. `fixed`: by a name that never means anything else.
    async fn put(
        &self,
        object: &str,
        descriptor: &Descriptor,
        source: Arc<dyn BlobSource>,
        fixed: bool,
    ) -> Result<()>;
}

/// The names of a cache's objects.
pub struct Named {
    pub(crate) objects: Box<dyn Objects>,
    /// Come before a digest and before a name.
    pub(crate) blobs: String,
    pub(crate) manifests: String,
    /// Of configs: all of them are written.
    pub(crate) names: Vec<String>,
    /// How many of them are read.
    pub(crate) read: usize,
}

impl Named {
    fn blob(&self, digest: &BlobDigest) -> String {
        format!("{}{digest}", self.blobs)
    }

    fn config(&self, name: &str) -> String {
        format!("{}{name}", self.manifests)
    }
}

#[async_trait]
impl CacheStore for Named {
    async fn configs(&self) -> Result<Vec<Bytes>> {
        let reading = self.names.iter().take(self.read).map(|name| async {
            let object = self.config(name);
            self.objects.small(&object).await
        });
        Ok(try_join_all(reading).await?.into_iter().flatten().collect())
    }

    async fn write_config(&self, json: Bytes) -> Result<()> {
        let digest = BlobDigest(slipway_model::Digest::of(&json));
        let descriptor = Descriptor::new("application/json", digest, json.len() as u64);
        for name in &self.names {
            self.objects.put(&self.config(name), &descriptor, Arc::new(json.clone()), false).await?;
        }
        Ok(())
    }

    async fn has(&self, blob: &BlobDigest) -> Result<bool> {
        self.objects.keep(&self.blob(blob)).await
    }

    async fn write(&self, descriptor: &Descriptor, source: Arc<dyn BlobSource>) -> Result<()> {
        self.objects.put(&self.blob(&descriptor.digest), descriptor, source, true).await
    }

    async fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<BlobReader> {
        let object = self.blob(&descriptor.digest);
        let found = self.objects.open(&object, offset, descriptor.size).await?;
        found.ok_or_else(|| Error::Missing {
            place: self.objects.name(),
            digest: descriptor.digest.to_string(),
        })
    }
}
