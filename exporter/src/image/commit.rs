//! Writing an image to the store.

use std::collections::{BTreeMap, BTreeSet};

use slipway_model::media_type::{self, Compression};
use slipway_model::{BlobDigest, Descriptor, DiffId, ImageConfig, Index, Manifest};
use slipway_store::layer::{Layer, LayerOptions};
use slipway_store::{BlobLease, Ref, Store};

use super::{config, json, parse_epoch};
use crate::error::{Error, Result};
use crate::options::{AnnotationsFor, ImageOptions};
use crate::source::{ExportSource, PlatformImage};

/// A small blob that was just written.
#[derive(Clone, Debug)]
pub struct StoredJson {
    pub descriptor: Descriptor,
    pub bytes: bytes::Bytes,
    pub lease: BlobLease,
}

/// An image for one platform.
#[derive(Clone, Debug)]
pub struct CommittedImage {
    pub config: StoredJson,
    pub manifest: StoredJson,
    /// As the manifest lists them.
    pub layers: Vec<Descriptor>,
    /// Keeps the layers' blobs.
    pub leases: Vec<BlobLease>,
    /// Repositories that may have some of the layers.
    pub base_names: Vec<slipway_model::Reference>,
}

/// What was exported. Its blobs stay in the store while it lives.
#[derive(Clone, Debug)]
pub struct Committed {
    pub images: Vec<CommittedImage>,
    pub index: Option<StoredJson>,
    /// The index, or the only manifest; with annotations and platform.
    pub root: Descriptor,
}

impl Committed {
    /// The config, if there is but one.
    pub fn config_digest(&self) -> Option<BlobDigest> {
        match (&self.index, &self.images[..]) {
            (None, [image]) => Some(image.config.descriptor.digest),
            _ => None,
        }
    }

    /// All blobs once, those first that others name.
    pub fn blobs(&self) -> Vec<Descriptor> {
        let mut seen = BTreeSet::new();
        let of_image = |image: &CommittedImage| {
            let own = [image.config.descriptor.clone(), image.manifest.descriptor.clone()];
            image.layers.iter().cloned().chain(own).collect::<Vec<_>>()
        };
        let all = self.images.iter().flat_map(of_image);
        let all = all.chain(self.index.iter().map(|index| index.descriptor.clone()));
        all.filter(|descriptor| seen.insert(descriptor.digest)).collect()
    }
}

/// Writes configs, manifests and (for several platforms) an index to the store, and the layers that are
/// not there yet. Blocks.
pub fn commit(store: &Store, source: &ExportSource, options: &ImageOptions) -> Result<Committed> {
    let mut annotations = options.annotations.clone();
    for (key, value) in &source.metadata {
        annotations.add(key, &String::from_utf8_lossy(value))?;
    }
    let whole = annotations.of(None);
    if !options.oci_media_types && annotations.need_oci() {
        return Err(Error::AnnotationsNeedOci);
    }
    if let Some(unknown) = annotations.platforms().find(|wanted| {
        !source.images.iter().any(|image| image.platform.as_ref().is_some_and(|p| p.normalized() == **wanted))
    }) {
        return Err(Error::AnnotationPlatform(unknown.to_string()));
    }
    if !source.multi_platform {
        if source.images.len() > 1 {
            return Err(Error::SeveralImages(source.images.len()));
        }
        if !whole.index.is_empty() || !whole.index_descriptor.is_empty() {
            return Err(Error::IndexAnnotations);
        }
    }
    let default = [PlatformImage::new("", None, bytes::Bytes::new())];
    let images = if source.images.is_empty() { &default } else { &source.images[..] };
    let mut committed = Vec::new();
    let mut descriptors = Vec::new();
    for image in images {
        let own = annotations.of(if source.multi_platform { image.platform.as_ref() } else { None });
        let epoch = epoch(source, image, options)?;
        let written = commit_image(store, image, options, &own, epoch)?;
        let mut descriptor = written.manifest.descriptor.clone();
        descriptor.platform = image.platform.clone();
        descriptor.annotations = own.manifest_descriptor;
        descriptors.push(descriptor);
        committed.push(written);
    }
    if !source.multi_platform {
        let root = descriptors.remove(0);
        return Ok(Committed { images: committed, index: None, root });
    }
    let media_type = if options.oci_media_types { media_type::OCI_INDEX } else { media_type::DOCKER_INDEX };
    let index = Index {
        schema_version: 2,
        media_type: media_type.into(),
        manifests: descriptors,
        annotations: whole.index,
    };
    let index = put(store, media_type, json::indented("the index", &index)?)?;
    let root = Descriptor { annotations: whole.index_descriptor, ..index.descriptor.clone() };
    Ok(Committed { images: committed, index: Some(index), root })
}

/// What the exporter was told, else what the build says for the platform, else for all.
pub(crate) fn epoch(
    source: &ExportSource,
    image: &PlatformImage,
    options: &ImageOptions,
) -> Result<Option<i64>> {
    match options.epoch {
        Some(epoch) => Ok(epoch),
        None => source_epoch(source, &image.id),
    }
}

pub(crate) fn source_epoch(source: &ExportSource, id: &str) -> Result<Option<i64>> {
    let own = source.metadata.get(&format!("source.date.epoch/{id}"));
    own.or_else(|| source.metadata.get("source.date.epoch")).map_or(Ok(None), |text| parse_epoch(text))
}

fn commit_image(
    store: &Store,
    image: &PlatformImage,
    options: &ImageOptions,
    annotations: &AnnotationsFor,
    epoch: Option<i64>,
) -> Result<CommittedImage> {
    let layers = layers(image, options, epoch)?;
    let chain = image.reference.as_ref().map(Ref::chain).unwrap_or_default();
    let describe = |index: usize| chain.get(index).map(|s| s.description().to_owned()).unwrap_or_default();
    let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
    let config = config::finish_config(&image.config, &image.base_config, &diff_ids, describe, epoch)?;
    // Layers with other times than the results have are none of them.
    let is_rewritten = options.rewrite_timestamp && epoch.is_some();
    let config = match &image.inline_cache[..] {
        [] => config,
        _ if is_rewritten => config,
        cache => config::with_inline_cache(&config, cache)?,
    };
    let oci = options.oci_media_types;
    let types = if oci {
        (media_type::OCI_CONFIG, media_type::OCI_MANIFEST)
    } else {
        (media_type::DOCKER_CONFIG, media_type::DOCKER_MANIFEST)
    };
    let config = put(store, types.0, config)?;
    let descriptors: Vec<Descriptor> = layers.iter().map(|layer| layer_descriptor(layer, options)).collect();
    let manifest = Manifest {
        schema_version: 2,
        media_type: types.1.into(),
        artifact_type: None,
        config: config.descriptor.clone(),
        layers: descriptors.clone(),
        subject: None,
        annotations: annotations.manifest.clone(),
    };
    let manifest = put(store, types.1, json::indented("the manifest", &manifest)?)?;
    Ok(CommittedImage {
        config,
        manifest,
        layers: descriptors,
        leases: layers.into_iter().map(|layer| layer.lease).collect(),
        base_names: image.base_names.clone(),
    })
}

fn layers(image: &PlatformImage, options: &ImageOptions, epoch: Option<i64>) -> Result<Vec<Layer>> {
    let Some(reference) = &image.reference else { return Ok(Vec::new()) };
    let unchanged = match &image.base_config[..] {
        [] => BTreeSet::new(),
        base => {
            let base = ImageConfig::parse(base)
                .map_err(|error| Error::Config(format!("of the base image: {error}")))?;
            base.rootfs.diff_ids.into_iter().collect()
        }
    };
    let wanted = LayerOptions {
        compress: options.compress,
        force: options.force_compression,
        latest_time: epoch.filter(|_| options.rewrite_timestamp),
        unchanged,
    };
    Ok(reference.layers(&wanted)?)
}

/// Of the image's family of media types, without notes that are the store's own.
fn layer_descriptor(layer: &Layer, options: &ImageOptions) -> Descriptor {
    let mut descriptor = layer.descriptor.clone();
    let nondistributable =
        descriptor.media_type.contains("nondistributable") || descriptor.media_type.contains("foreign");
    if let Some(compression) = Compression::of_layer(&descriptor.media_type)
        && !(nondistributable && options.keep_nondistributable)
    {
        let name = if options.oci_media_types { compression.oci_layer() } else { compression.docker_layer() };
        descriptor.media_type = name.into();
        descriptor.urls.clear();
    }
    let keep = |key: &str| {
        options.oci_media_types
            && !matches!(key, "containerd.io/uncompressed" | "buildkit/createdat")
            && !key.starts_with("containerd.io/distribution.source.")
    };
    let annotations: BTreeMap<_, _> =
        descriptor.annotations.into_iter().filter(|(key, _)| keep(key)).collect();
    descriptor.annotations = annotations;
    descriptor
}

fn put(store: &Store, media_type: &str, json: Vec<u8>) -> Result<StoredJson> {
    let stored = store.blobs().put(&json)?;
    let descriptor = Descriptor::new(media_type, stored.digest, stored.size);
    Ok(StoredJson { descriptor, bytes: json.into(), lease: stored.lease })
}
