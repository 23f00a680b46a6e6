//! What an image is read from.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_model::media_type::{is_index, is_manifest};
use slipway_model::{BlobDigest, Descriptor, Reference};
use slipway_registry::{Client, LARGEST_CONFIG};
use tokio::io::AsyncRead;

use super::Error;

/// A blob on its way. Whoever takes it verifies it.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// An image, by its name, in a place that has its blobs.
#[async_trait]
pub trait Origin: Send + Sync {
    /// As the user knows it.
    fn name(&self) -> String;

    /// The repository whose images may be answered from what was pulled before, from it, without
    /// asking; `None` if it has to be asked each time (asking costs nothing).
    fn repository(&self) -> Option<String>;

    /// The digest in the name, if it has one.
    fn digest(&self) -> Option<BlobDigest>;

    /// What the name means now. The digest is the place's word.
    async fn resolve(&self) -> Result<Descriptor, Error>;

    /// A manifest, an index or a config, whole. Not longer than the descriptor says.
    async fn read(&self, descriptor: &Descriptor) -> Result<Bytes, Error>;

    /// The same without servers that stand in for it: one of them may have given other bytes than it should.
    fn without_mirrors(&self) -> Option<Arc<dyn Origin>> {
        None
    }

    /// A layer.
    async fn open(&self, descriptor: &Descriptor) -> Result<Reader, Error>;

    /// Manifests that name the manifest `subject` as what they are about.
    async fn referrers(&self, _subject: &BlobDigest) -> Result<Vec<Descriptor>, Error> {
        Ok(Vec::new())
    }
}

/// An image of a registry.
pub struct RegistryOrigin {
    /// With the credentials of whoever builds.
    pub client: Client,
    pub reference: Reference,
}

#[async_trait]
impl Origin for RegistryOrigin {
    fn name(&self) -> String {
        self.reference.to_string()
    }

    fn repository(&self) -> Option<String> {
        Some(self.reference.name())
    }

    fn digest(&self) -> Option<BlobDigest> {
        self.reference.digest()
    }

    async fn resolve(&self) -> Result<Descriptor, Error> {
        Ok(self.client.head(&self.reference).await?)
    }

    async fn read(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        let media_type = &descriptor.media_type;
        if is_index(media_type) || is_manifest(media_type) {
            let exactly = self.reference.clone().with_digest(descriptor.digest);
            return Ok(self.client.resolve(&exactly).await?.bytes);
        }
        Ok(self.client.small_blob(&self.reference, descriptor, LARGEST_CONFIG).await?)
    }

    fn without_mirrors(&self) -> Option<Arc<dyn Origin>> {
        let client = self.client.without_mirrors(&self.reference)?;
        Some(Arc::new(Self { client, reference: self.reference.clone() }))
    }

    async fn open(&self, descriptor: &Descriptor) -> Result<Reader, Error> {
        let stream = self.client.pull_unverified(&self.reference, descriptor, 0).await?;
        Ok(Box::pin(stream.into_reader()))
    }

    async fn referrers(&self, subject: &BlobDigest) -> Result<Vec<Descriptor>, Error> {
        Ok(self.client.referrers(&self.reference, subject).await?)
    }
}
