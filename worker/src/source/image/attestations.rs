//! What is said about an image beside it: the chain from its index to its attestations, and to a signature of those.
//!
//! ```text
//! index ── manifest of the platform                                   named, not read
//!       └─ attestation manifest (annotated with the digest of that) ─ its layers: statements, by predicate type
//!                                 ^ subject of
//!                          signature manifest ─ its layers: the signature
//! ```
//!
//! Nothing is judged here: whoever asks verifies the signatures, and has every blob for that.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use slipway_model::media_type::is_index;
use slipway_model::{Descriptor, Index, Manifest};
use slipway_proto::gateway::{AttestationChain, Blob, Descriptor as WireDescriptor};
use slipway_registry::{LARGEST_CONFIG, LARGEST_MANIFEST};
use slipway_store::BlobLease;

use super::{Error, ImageSource, Origin, Pinned};

const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const ATTESTATION: &str = "attestation-manifest";
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// What signs attestations, the preferred form first.
const SIGNATURES: [&str; 2] =
    ["application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.cosign.artifact.sig.v1+json"];

/// All blobs of a chain together: they travel in one message.
const LARGEST_CHAIN: u64 = 12 << 20;

impl ImageSource {
    /// The chain of the image, with the statements of the predicate types `wanted`; `None` for an image without an
    /// index, which has no place for any.
    pub(crate) async fn attestations(
        &self,
        origin: &dyn Origin,
        pinned: &Pinned,
        wanted: &[String],
    ) -> Result<Option<AttestationChain>, Error> {
        if !is_index(&pinned.root.media_type) {
            return Ok(None);
        }
        let mut chain = Chain { source: self, origin, blobs: BTreeMap::new(), size: 0, leases: Vec::new() };
        let index: Index = chain.parsed(&pinned.root).await?;
        let mut wire = AttestationChain {
            root: pinned.root.digest.to_string(),
            image_manifest: pinned.manifest_descriptor.digest.to_string(),
            ..AttestationChain::default()
        };
        if let Some(attestation) = attestation_of(&index, pinned) {
            wire.attestation_manifest = attestation.digest.to_string();
            let manifest: Manifest = chain.parsed(attestation).await?;
            if let Some(signature) = signature(origin.referrers(&attestation.digest).await?) {
                wire.signature_manifests = vec![signature.digest.to_string()];
                let manifest: Manifest = chain.parsed(&signature).await?;
                chain.add_all(&manifest.layers).await?;
            }
            let statements: Vec<_> = manifest
                .layers
                .into_iter()
                .filter(|layer| {
                    layer.annotations.get(PREDICATE_TYPE).is_some_and(|kind| wanted.contains(kind))
                })
                .collect();
            chain.add_all(&statements).await?;
        }
        wire.blobs = chain.blobs;
        Ok(Some(wire))
    }
}

struct Chain<'a> {
    source: &'a ImageSource,
    origin: &'a dyn Origin,
    blobs: BTreeMap<String, Blob>,
    size: u64,
    leases: Vec<BlobLease>,
}

impl Chain<'_> {
    async fn add_all(&mut self, descriptors: &[Descriptor]) -> Result<(), Error> {
        for descriptor in descriptors {
            self.add(descriptor, LARGEST_CONFIG).await?;
        }
        Ok(())
    }

    async fn parsed<T: serde::de::DeserializeOwned>(&mut self, descriptor: &Descriptor) -> Result<T, Error> {
        let bytes = self.add(descriptor, LARGEST_MANIFEST).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
            name: self.origin.name(),
            what: "manifest",
            digest: Box::new(descriptor.digest),
            reason: error.to_string(),
        })
    }

    /// Reads and verifies a blob, and adds it.
    async fn add(&mut self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, Error> {
        self.size += descriptor.size;
        if self.size > LARGEST_CHAIN {
            let (name, what) = (self.origin.name(), "its attestations".into());
            return Err(Error::TooLarge { name, what, limit: LARGEST_CHAIN });
        }
        let bytes = self.source.read(self.origin, descriptor, limit, &mut self.leases).await?;
        let wire = WireDescriptor {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.to_string(),
            size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
            annotations: descriptor.annotations.clone(),
        };
        self.blobs.insert(wire.digest.clone(), Blob { descriptor: Some(wire), data: bytes.clone() });
        Ok(bytes)
    }
}

fn attestation_of<'a>(index: &'a Index, pinned: &Pinned) -> Option<&'a Descriptor> {
    let image = pinned.manifest_descriptor.digest.to_string();
    index.manifests.iter().find(|manifest| {
        let is = |key: &str, value: &str| manifest.annotations.get(key).is_some_and(|found| found == value);
        is(REFERENCE_TYPE, ATTESTATION) && is(REFERENCE_DIGEST, &image)
    })
}

/// One is enough to say who has signed; of several the one in the preferred form.
fn signature(referrers: Vec<Descriptor>) -> Option<Descriptor> {
    let rank = |referrer: &Descriptor| {
        SIGNATURES.iter().position(|kind| referrer.artifact_type.as_deref() == Some(kind))
    };
    let ranked = referrers.into_iter().filter_map(|referrer| Some((rank(&referrer)?, referrer)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, referrer)| referrer)
}
