//! Manifests that point to another one with `subject`: attestations, signatures (OCI distribution 1.1).
//!
//! A registry that keeps referrers itself says so in its answer (`OCI-Subject`). For others there is the tag
//! `sha256-…` of the subject, an index of all that point to it; it is read, added to, and written again. Two who do
//! that at the same time may lose one entry, which the specification knows and accepts.

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_model::media_type::OCI_INDEX;
use slipway_model::{BlobDigest, Descriptor, Index, Reference};

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Pushes `bytes`, whose `subject` is `subject`, to the repository of `reference`. `descriptor` is what an index
    /// is to say of it.
    pub async fn push_referrer(
        &self,
        reference: &Reference,
        subject: BlobDigest,
        descriptor: &Descriptor,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let by_digest = reference.clone().with_digest(descriptor.digest);
        let (_, is_kept) = self.put_manifest(&by_digest, &descriptor.media_type, bytes).await?;
        if is_kept {
            return Ok(());
        }
        let tag = format!("{}-{}", subject.0.algorithm(), subject.0.hex());
        let name = format!("{}:{tag}", reference.name());
        let asked = || Self::asked(&self.origin(reference), format!("index of referrers {tag}"));
        let invalid = |reason: String| Error::Manifest { asked: asked(), reason };
        let tagged: Reference = name.parse().map_err(|error| invalid(format!("{error}")))?;
        let mut manifests = match self.resolve(&tagged).await {
            Ok(found) => {
                let index: Index =
                    serde_json::from_slice(&found.bytes).map_err(|error| invalid(error.to_string()))?;
                index.manifests
            }
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        if manifests.iter().any(|known| known.digest == descriptor.digest) {
            return Ok(());
        }
        manifests.push(descriptor.clone());
        let index = Index {
            schema_version: 2,
            media_type: OCI_INDEX.into(),
            manifests,
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&index).map_err(|error| invalid(error.to_string()))?;
        self.push_manifest(&tagged, OCI_INDEX, bytes.into()).await.map(drop)
    }
}
