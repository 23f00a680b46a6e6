//! From a name and a platform to one image.

use bytes::Bytes;
use slipway_model::media_type::is_index;
use slipway_model::{Descriptor, Index, Manifest, Platform, Reference};

use crate::client::Client;
use crate::error::Error;
use crate::manifest::{LARGEST_CONFIG, verify};
use crate::resolve::Resolved;

/// Indexes inside indexes are allowed; more than this is somebody playing.
const DEEPEST: usize = 4;

/// One image for one platform.
#[derive(Clone, Debug)]
pub struct ResolvedPlatform {
    /// What the reference itself names: an index, or the image's manifest.
    pub root: Resolved,
    /// The image's manifest.
    pub descriptor: Descriptor,
    pub manifest_bytes: Bytes,
    pub manifest: Manifest,
    /// The image config, as stored.
    pub config: Bytes,
}

impl Client {
    /// The image of `reference` for `platform`. An image that is not in an index is taken as it is:
    /// its maker had only one platform to offer.
    pub async fn resolve_platform(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<ResolvedPlatform, Error> {
        let root = self.resolve(reference).await?;
        let mut found = root.clone();
        for _ in 0..DEEPEST {
            if !is_index(&found.descriptor.media_type) {
                return self.image(reference, root, found).await;
            }
            let chosen = self.choose(reference, &found, platform)?;
            found = self.resolve(&reference.clone().with_digest(chosen.digest)).await?;
        }
        Err(self.not_an_image(reference, "indexes inside indexes inside indexes"))
    }

    fn choose(
        &self,
        reference: &Reference,
        found: &Resolved,
        platform: &Platform,
    ) -> Result<Descriptor, Error> {
        let index: Index =
            serde_json::from_slice(&found.bytes).map_err(|e| self.not_an_image(reference, &e.to_string()))?;
        index.select(platform).cloned().ok_or_else(|| {
            let offered = index.manifests.iter().filter_map(|manifest| manifest.platform.clone());
            // Attestations stand under this name; they are no platform.
            let available = offered.filter(|platform| platform.os != "unknown").collect();
            let asked =
                Self::asked(&self.origin(reference), format!("manifest {}", reference.manifest_name()));
            Error::NoPlatform { asked, wanted: Box::new(platform.clone()), available }
        })
    }

    async fn image(
        &self,
        reference: &Reference,
        root: Resolved,
        found: Resolved,
    ) -> Result<ResolvedPlatform, Error> {
        let manifest: Manifest =
            serde_json::from_slice(&found.bytes).map_err(|e| self.not_an_image(reference, &e.to_string()))?;
        let config = self.small_blob(reference, &manifest.config, LARGEST_CONFIG).await?;
        Ok(ResolvedPlatform {
            root,
            descriptor: found.descriptor,
            manifest_bytes: found.bytes,
            manifest,
            config,
        })
    }

    /// A whole blob in memory, verified: for configs and other JSON.
    pub async fn small_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, Error> {
        let asked = Self::asked(&self.origin(reference), format!("blob {}", descriptor.digest));
        if descriptor.size > limit {
            return Err(Error::TooLarge { asked, limit });
        }
        let bytes = match self.pull_whole(reference, descriptor).await {
            // A mirror's word: the registry itself may have the right bytes.
            Err(error @ (Error::Corrupt { .. } | Error::Length { .. })) => {
                match self.without_mirrors(reference) {
                    Some(client) => client.pull_whole(reference, descriptor).await?,
                    None => return Err(error),
                }
            }
            pulled => pulled?,
        };
        verify(&bytes, descriptor.digest, &asked)?;
        Ok(bytes)
    }

    async fn pull_whole(&self, reference: &Reference, descriptor: &Descriptor) -> Result<Bytes, Error> {
        self.pull_blob(reference, descriptor, 0).await?.collect().await
    }

    fn not_an_image(&self, reference: &Reference, reason: &str) -> Error {
        let asked = Self::asked(&self.origin(reference), format!("manifest {}", reference.manifest_name()));
        Error::Manifest { asked, reason: reason.to_owned() }
    }
}
