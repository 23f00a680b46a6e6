//! Images of an OCI layout (OCI image-spec, "Image Layout"), wherever it is.
//!
//! A client's session shows its layouts blob by blob; [`LayoutReader`] is that view. Everything read is
//! verified like what comes from a registry, and the keys are those of the same image there. Nothing is
//! answered from before: a layout belongs to whoever builds now.

mod directory;
mod session;
#[cfg(test)]
mod tests;

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_model::media_type::{OCI_INDEX, OCI_MANIFEST, is_index, is_manifest};
use slipway_model::{BlobDigest, Descriptor, Index, Reference};
use slipway_registry::{LARGEST_CONFIG, LARGEST_MANIFEST};
use tokio::io::AsyncReadExt as _;

pub use directory::DirectoryLayout;
pub use session::SessionLayout;

use super::image::{Error, Origin, Reader};

/// Tells under which tag an index lists a manifest.
const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";

/// The blobs of a layout.
#[async_trait]
pub trait LayoutReader: Send + Sync {
    /// The blob from `offset` on; `NotFound` if there is none.
    async fn read_blob(&self, digest: &BlobDigest, offset: u64) -> io::Result<Reader>;

    /// `index.json`; `None` where only blobs can be had, by digest.
    async fn index(&self) -> io::Result<Option<Bytes>>;
}

/// An image of a layout: by digest, or by tag if the layout has an index.
pub struct LayoutOrigin<L> {
    pub layout: L,
    pub reference: Reference,
}

#[async_trait]
impl<L: LayoutReader> Origin for LayoutOrigin<L> {
    fn name(&self) -> String {
        format!("oci-layout://{}", self.reference)
    }

    fn repository(&self) -> Option<String> {
        None
    }

    fn digest(&self) -> Option<BlobDigest> {
        self.reference.digest()
    }

    async fn resolve(&self) -> Result<Descriptor, Error> {
        let digest = match self.reference.digest() {
            Some(digest) => digest,
            None => self.tagged().await?,
        };
        // Type and size are not told by a digest: the root is read here, and again when it is needed.
        let bytes = self.read_to_limit(&digest, LARGEST_MANIFEST).await?;
        let media_type =
            media_type(&bytes).ok_or_else(|| self.missing("it is neither an index nor a manifest"))?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    async fn read(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        self.read_to_limit(&descriptor.digest, descriptor.size.min(LARGEST_CONFIG)).await
    }

    async fn open(&self, descriptor: &Descriptor) -> Result<Reader, Error> {
        self.layout.read_blob(&descriptor.digest, 0).await.map_err(|source| self.failed(source))
    }
}

impl<L: LayoutReader> LayoutOrigin<L> {
    async fn tagged(&self) -> Result<BlobDigest, Error> {
        let index = self.layout.index().await.map_err(|source| self.failed(source))?;
        let index = index.ok_or_else(|| self.missing("its reference must have a digest"))?;
        let index: Index =
            serde_json::from_slice(&index).map_err(|error| self.missing(&error.to_string()))?;
        let tag = self.reference.tag().unwrap_or("latest");
        let named = index.manifests.iter().find(|manifest| {
            let name = manifest.annotations.get(REFERENCE_NAME);
            // Tools write the tag, or the whole name.
            name.is_some_and(|name| name == tag || name.parse() == Ok(self.reference.clone()))
        });
        let named = named.ok_or_else(|| self.missing(&format!("its index has no tag {tag}")))?;
        Ok(named.digest)
    }

    async fn read_to_limit(&self, digest: &BlobDigest, limit: u64) -> Result<Bytes, Error> {
        let reader = self.layout.read_blob(digest, 0).await.map_err(|source| self.failed(source))?;
        let mut bytes = Vec::new();
        let read = reader.take(limit + 1).read_to_end(&mut bytes).await;
        read.map_err(|source| self.failed(source))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { name: self.name(), what: digest.to_string(), limit });
        }
        Ok(bytes.into())
    }

    fn failed(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::NotFound => self.missing(&source.to_string()),
            _ => Error::Layout { name: self.name(), source },
        }
    }

    fn missing(&self, reason: &str) -> Error {
        Error::NotInLayout { name: self.name(), reason: reason.to_owned() }
    }
}

/// What a manifest says it is, or looks like. One that looks like both is neither.
fn media_type(bytes: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let (index, image) =
        (json.get("manifests").is_some(), json.get("config").is_some() || json.get("layers").is_some());
    let told = json.get("mediaType").and_then(serde_json::Value::as_str).unwrap_or_default();
    match (index, image) {
        (true, false) if told.is_empty() || is_index(told) => {
            Some(if told.is_empty() { OCI_INDEX } else { told }.into())
        }
        (false, true) if told.is_empty() || is_manifest(told) => {
            Some(if told.is_empty() { OCI_MANIFEST } else { told }.into())
        }
        _ => None,
    }
}
