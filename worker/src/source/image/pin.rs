//! From a name to one image, with as few questions as possible (the table is in [`super`]).

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use slipway_model::media_type::{is_index, is_manifest};
use slipway_model::{BlobDigest, Descriptor, DiffId, Digest, ImageConfig, Index, Manifest, Platform};
use slipway_registry::{LARGEST_CONFIG, LARGEST_MANIFEST};
use slipway_solver::with_causes;
use slipway_store::BlobLease;

use super::{Error, ImageRequest, ImageSource, Origin, ResolveMode, records};
use crate::ops::cache_key::source::{config_key, manifest_key};
use crate::source::answers::PATIENCE;

/// Indexes inside indexes are allowed; more than this is somebody playing.
const DEEPEST: usize = 4;

/// One image, known exactly. While it lives, its manifests and config stay in the store.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// As the user knows it.
    pub name: String,
    /// What the name means: an index, or the image's manifest.
    pub root: Descriptor,
    /// The image's manifest.
    pub manifest_descriptor: Descriptor,
    pub manifest: Manifest,
    /// The config, as stored; with `layer_limit` it describes more layers than are wanted.
    pub config: Bytes,
    /// Blobs and what they unpack to, from the bottom; at most `layer_limit`.
    pub layers: Vec<(Descriptor, DiffId)>,
    /// Why the name means what it meant before: nobody could be asked.
    pub remembered: Option<Arc<str>>,
    keys: Vec<Digest>,
    described_by: Vec<BlobDigest>,
    _leases: Vec<BlobLease>,
}

impl Pinned {
    /// Names for the cache, cheapest first: the manifest key, then the config key if there is one.
    pub fn keys(&self) -> &[Digest] {
        &self.keys
    }

    /// The blobs that were read to know it: indexes, the manifest, the config.
    pub(super) fn described_by(&self) -> &[BlobDigest] {
        &self.described_by
    }
}

/// What a name meant before.
struct Known {
    root: Descriptor,
    /// Somebody has an image by that name, whatever a registry says of it.
    is_kept_elsewhere: bool,
}

impl ImageSource {
    /// Finds out which image is meant, and keeps its manifests and config in the store.
    pub async fn pin(&self, origin: &dyn Origin, request: &ImageRequest) -> Result<Pinned, Error> {
        let name = origin.name();
        let (root, remembered) = self.root(origin, request.resolve_mode).await?;
        if let Some(expected) = request.checksum.filter(|expected| *expected != root.digest) {
            let (expected, actual) = (Box::new(expected), Box::new(root.digest));
            return Err(Error::Checksum { name, expected, actual });
        }
        let mut leases = Vec::new();
        let (manifest_descriptor, manifest) =
            self.manifest(origin, &root, &request.platform, &mut leases).await?;
        let config = self.read(origin, &manifest.config, LARGEST_CONFIG, &mut leases).await?;
        let layers = layers(&name, &manifest, &config, request.layer_limit)?;
        let first = manifest_key(&root.digest.0, &request.platform, request.layer_limit);
        let second = config_key(&config, request.layer_limit)?;
        let keys = std::iter::once(first).chain(second).map(|key| key.digest).collect();
        // Only now: what is noted has been read, and was what it was said to be.
        if let Some(repository) = origin.repository() {
            let (name, root) = (name.clone(), root.clone());
            self.blocking(move |store| records::note(store, &name, &repository, &root)).await?;
        }
        let described_by = leases.iter().map(BlobLease::digest).collect();
        Ok(Pinned {
            name,
            root,
            manifest_descriptor,
            manifest,
            config,
            layers,
            remembered,
            keys,
            described_by,
            _leases: leases,
        })
    }

    /// What the name means, and what to warn of if that is what it meant before.
    async fn root(
        &self,
        origin: &dyn Origin,
        mode: ResolveMode,
    ) -> Result<(Descriptor, Option<Arc<str>>), Error> {
        let known = self.known(origin).await?;
        let (known, reason) = match (known, origin.digest(), mode) {
            (Some(known), Some(_), _) | (Some(known), None, ResolveMode::Local) => {
                return Ok((known.root, None));
            }
            (Some(known), None, ResolveMode::Default) => {
                match tokio::time::timeout(PATIENCE, origin.resolve()).await {
                    Ok(Err(error)) if known.is_kept_elsewhere || error.is_unreachable() => {
                        (known, with_causes(&error))
                    }
                    Ok(answer) => return Ok((answer?, None)),
                    Err(_) => (known, format!("no answer within {} seconds", PATIENCE.as_secs())),
                }
            }
            _ => return Ok((origin.resolve().await?, None)),
        };
        let how = if known.is_kept_elsewhere { "it is kept here" } else { "it was pulled last" };
        let warning = format!("{} is used as {how}, {}: {reason}", origin.name(), known.root.digest);
        Ok((known.root, Some(warning.into())))
    }

    /// What it meant before, if its bytes are still here.
    async fn known(&self, origin: &dyn Origin) -> Result<Option<Known>, Error> {
        let Some(repository) = origin.repository() else { return Ok(None) };
        let (name, digest, others) = (origin.name(), origin.digest(), self.known.clone());
        self.blocking(move |store| {
            let elsewhere =
                others.and_then(|others| others.named(&name)).filter(|known| is_image(&known.media_type));
            let elsewhere = elsewhere.filter(|known| digest.is_none_or(|digest| known.digest == digest));
            let is_kept_elsewhere = elsewhere.is_some();
            let known = match (elsewhere, digest) {
                (Some(known), _) => Some(known),
                (None, Some(digest)) => records::had(store, &repository, &digest)?,
                (None, None) => records::named(store, &name)?,
            };
            match known {
                Some(root) if store.blobs().has(&root.digest)? => Ok(Some(Known { root, is_kept_elsewhere })),
                _ => Ok::<_, Error>(None),
            }
        })
        .await
    }

    async fn manifest(
        &self,
        origin: &dyn Origin,
        root: &Descriptor,
        platform: &Platform,
        leases: &mut Vec<BlobLease>,
    ) -> Result<(Descriptor, Manifest), Error> {
        let malformed = |digest: BlobDigest, reason: String| Error::Malformed {
            name: origin.name(),
            what: "manifest",
            digest: Box::new(digest),
            reason,
        };
        let mut descriptor = root.clone();
        for _ in 0..DEEPEST {
            let bytes = self.read(origin, &descriptor, LARGEST_MANIFEST, leases).await?;
            if !is_index(&descriptor.media_type) {
                let manifest = serde_json::from_slice(&bytes);
                let manifest = manifest.map_err(|error| malformed(descriptor.digest, error.to_string()))?;
                return Ok((descriptor, manifest));
            }
            let index: Index = serde_json::from_slice(&bytes)
                .map_err(|error| malformed(descriptor.digest, error.to_string()))?;
            descriptor = choose(origin, &index, platform)?;
        }
        Err(malformed(root.digest, "it is an index inside an index inside an index".into()))
    }

    /// A manifest or config: from the store, else from the origin into the store.
    pub(super) async fn read(
        &self,
        origin: &dyn Origin,
        descriptor: &Descriptor,
        limit: u64,
        leases: &mut Vec<BlobLease>,
    ) -> Result<Bytes, Error> {
        let digest = descriptor.digest;
        // Held before it is looked for, so that it cannot be pruned in between.
        leases.push(self.store.blobs().hold(&digest));
        if descriptor.size > limit {
            let what = format!("{} {digest}", descriptor.media_type);
            return Err(Error::TooLarge { name: origin.name(), what, limit });
        }
        if let Some(stored) = self.stored(digest, limit).await? {
            return Ok(stored);
        }
        let bytes = origin.read(descriptor).await?;
        let (name, copy) = (origin.name(), bytes.clone());
        self.blocking(move |store| {
            let stored = store.blobs().put(&copy)?;
            if stored.digest != digest {
                let (digest, actual) = (Box::new(digest), Box::new(stored.digest));
                return Err(Error::Corrupt { name, digest, actual });
            }
            Ok(())
        })
        .await?;
        Ok(bytes)
    }

    /// A blob that was damaged on disk is as good as none, and makes room for a whole one.
    async fn stored(&self, digest: BlobDigest, limit: u64) -> Result<Option<Bytes>, Error> {
        self.blocking(move |store| {
            let mut bytes = Vec::new();
            match store.blobs().open(&digest) {
                Ok(None) => return Ok(None),
                Ok(Some(file)) => {
                    let read = file.take(limit + 1).read_to_end(&mut bytes);
                    if read.is_ok() && BlobDigest(Digest::of(&bytes)) == digest {
                        return Ok(Some(bytes.into()));
                    }
                }
                Err(slipway_store::Error::WrongSize { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            tracing::warn!(%digest, "a damaged blob is fetched again");
            store.blobs().remove(&digest)?;
            Ok::<_, Error>(None)
        })
        .await
    }
}

fn is_image(media_type: &str) -> bool {
    is_index(media_type) || is_manifest(media_type)
}

fn choose(origin: &dyn Origin, index: &Index, platform: &Platform) -> Result<Descriptor, Error> {
    index.select(platform).cloned().ok_or_else(|| {
        let offered = index.manifests.iter().filter_map(|manifest| manifest.platform.clone());
        // Attestations stand under this name; they are no platform.
        let available = offered.filter(|platform| platform.os != "unknown").collect();
        Error::NoPlatform { name: origin.name(), wanted: Box::new(platform.clone()), available }
    })
}

fn layers(
    name: &str,
    manifest: &Manifest,
    config: &[u8],
    limit: Option<u32>,
) -> Result<Vec<(Descriptor, DiffId)>, Error> {
    let config = ImageConfig::parse(config).map_err(|error| Error::Malformed {
        name: name.to_owned(),
        what: "config",
        digest: Box::new(manifest.config.digest),
        reason: error.to_string(),
    })?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        let (diff_ids, layers) = (diff_ids.len(), manifest.layers.len());
        return Err(Error::Layers { name: name.to_owned(), diff_ids, layers });
    }
    let wanted = limit.map_or(diff_ids.len(), |limit| limit as usize);
    if wanted > diff_ids.len() {
        return Err(Error::LayerLimit { limit: wanted, layers: diff_ids.len() });
    }
    Ok(manifest.layers.iter().cloned().zip(diff_ids).take(wanted).collect())
}
