//! Writing an image to the store.

use std::collections::{BTreeMap, BTreeSet};

use slipway_model::media_type::{self, Compression};
use slipway_model::{BlobDigest, Descriptor, DiffId, ImageConfig, Index, Manifest, Platform};
use slipway_store::layer::{Layer, LayerOptions};
use slipway_store::{BlobLease, Ref, Store};

use super::{Dates, config, json, parse_epoch};
use crate::attestation::manifest::{self, CommittedAttestations};
use crate::attestation::statement::image_subjects;
use crate::attestation::supplement::supplement;
use crate::attestation::unbundle::unbundle;
use crate::attestation::{Attestation, Placement};
use crate::error::{Error, Result};
use crate::options::{Annotations, AnnotationsFor, Forms, ImageOptions};
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
    /// What is said about the images.
    pub attestations: Vec<CommittedAttestations>,
    /// Where that goes.
    pub placement: Placement,
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
        let attestations = self.attestations.iter().flat_map(CommittedAttestations::blobs);
        let all = self.images.iter().flat_map(of_image);
        let all = all.chain(attestations.chain(&self.index).map(|stored| stored.descriptor.clone()));
        all.filter(|descriptor| seen.insert(descriptor.digest)).collect()
    }
}

/// Writes configs, manifests, attestations and (for several platforms, or with attestations) an index to the
/// store, and the layers that are not there yet. Blocks.
pub fn commit(store: &Store, source: &ExportSource, options: &ImageOptions) -> Result<Committed> {
    let forms = options.forms(source)?;
    let annotations = annotations(source, options, forms)?;
    let default = [PlatformImage::new("", None, bytes::Bytes::new())];
    let images = if source.images.is_empty() { &default } else { &source.images[..] };
    let attached: Vec<Vec<&Attestation>> =
        images.iter().map(|image| options.attached(image, forms)).collect::<Result<_>>()?;
    let in_index = options.placement == Placement::Index && attached.iter().any(|list| !list.is_empty());
    let is_index = source.multi_platform || in_index;
    let whole = annotations.of(None);
    if !source.multi_platform && images.len() > 1 {
        return Err(Error::SeveralImages(images.len()));
    }
    if !(is_index || whole.index.is_empty() && whole.index_descriptor.is_empty()) {
        return Err(Error::IndexAnnotations);
    }
    let mut committed = Vec::new();
    let mut descriptors = Vec::new();
    for image in images {
        let own = annotations.of(if is_index { image.platform.as_ref() } else { None });
        let epoch = epoch(source, image, options)?;
        let written = commit_image(store, image, options, forms, &own, epoch)?;
        let mut descriptor = written.manifest.descriptor.clone();
        descriptor.platform = image.platform.clone();
        descriptor.annotations = own.manifest_descriptor;
        descriptors.push(descriptor);
        committed.push(written);
    }
    let names = options.names(source);
    let mut attestations = Vec::new();
    for (at, attached) in attached.into_iter().enumerate().filter(|(_, attached)| !attached.is_empty()) {
        let about = About { names: &names, platform: images[at].platform.as_ref(), image: &committed[at] };
        attestations.push(attest(store, &attached, &about, forms)?);
    }
    if !is_index {
        let root = descriptors.remove(0);
        let placement = options.placement;
        return Ok(Committed { images: committed, attestations, placement, index: None, root });
    }
    if options.placement == Placement::Index {
        descriptors.extend(attestations.iter().map(|attestation| attestation.descriptor.clone()));
    }
    let media_type = if forms.oci { media_type::OCI_INDEX } else { media_type::DOCKER_INDEX };
    let index = Index {
        schema_version: 2,
        media_type: media_type.into(),
        manifests: descriptors,
        annotations: whole.index,
    };
    let index = put(store, media_type, json::indented("the index", &index)?)?;
    let root = Descriptor { annotations: whole.index_descriptor, ..index.descriptor.clone() };
    let placement = options.placement;
    Ok(Committed { images: committed, attestations, placement, index: Some(index), root })
}

/// Those of the client and of the frontend.
fn annotations(source: &ExportSource, options: &ImageOptions, forms: Forms) -> Result<Annotations> {
    let mut annotations = options.annotations.clone();
    for (key, value) in &source.metadata {
        annotations.add(key, &String::from_utf8_lossy(value))?;
    }
    if !forms.oci && annotations.need_oci() {
        return Err(Error::AnnotationsNeedOci);
    }
    let is_there = |wanted: &Platform| {
        source.images.iter().any(|image| image.platform.as_ref().is_some_and(|p| p.normalized() == *wanted))
    };
    let unknown = annotations.platforms().find(|wanted| !is_there(wanted)).cloned();
    unknown.map_or(Ok(annotations), |unknown| Err(Error::AnnotationPlatform(unknown.to_string())))
}

/// What attestations are about.
struct About<'a> {
    names: &'a str,
    platform: Option<&'a Platform>,
    image: &'a CommittedImage,
}

fn attest(
    store: &Store,
    attached: &[&Attestation],
    about: &About<'_>,
    forms: Forms,
) -> Result<CommittedAttestations> {
    let (layers, manifest) = (&about.image.layers, &about.image.manifest.descriptor);
    let itself = image_subjects(about.names, about.platform, manifest.digest)?;
    let attached: Vec<Attestation> = attached.iter().map(|one| (*one).clone()).collect();
    let mut statements = Vec::new();
    for attestation in unbundle(&attached)? {
        statements.push(supplement(store, attestation, layers)?.statement(layers, &itself)?);
    }
    manifest::commit(store, manifest, &statements, forms.artifact)
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
    epoch_of(&source.metadata, id)
}

/// What a build's facts say for the platform `id`, else for all.
pub fn epoch_of(metadata: &BTreeMap<String, bytes::Bytes>, id: &str) -> Result<Option<i64>> {
    let own = metadata.get(&format!("source.date.epoch/{id}"));
    own.or_else(|| metadata.get("source.date.epoch")).map_or(Ok(None), |text| parse_epoch(text))
}

fn commit_image(
    store: &Store,
    image: &PlatformImage,
    options: &ImageOptions,
    forms: Forms,
    annotations: &AnnotationsFor,
    epoch: Option<i64>,
) -> Result<CommittedImage> {
    let latest_time = epoch.filter(|_| options.rewrite_timestamp);
    let unchanged = layers_of_base(image, options)?;
    let layers = layers(image, options, latest_time, unchanged.clone())?;
    let chain = image.reference.as_ref().map(Ref::chain).unwrap_or_default();
    let describe = |index: usize| chain.get(index).map(|s| s.description().to_owned()).unwrap_or_default();
    let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
    let dates = match (epoch, options.epoch) {
        (Some(epoch), _) => Dates::Epoch(epoch),
        // Said to be none: the times as they are.
        (None, Some(_)) => Dates::Layers(chain.iter().map(Ref::created).collect()),
        (None, None) => Dates::None,
    };
    let given = options.configs.of(image);
    let config = config::finish_config(given, options.configs.of_base(image), &diff_ids, describe, dates)?;
    // Layers with other times than the results have, or with more files, are none of them.
    let is_rewritten = latest_time.is_some() || options.compress.seekable;
    let config = match &image.inline_cache[..] {
        [] => config,
        _ if is_rewritten => config,
        cache => config::with_inline_cache(&config, cache)?,
    };
    let types = if forms.oci {
        (media_type::OCI_CONFIG, media_type::OCI_MANIFEST)
    } else {
        (media_type::DOCKER_CONFIG, media_type::DOCKER_MANIFEST)
    };
    let config = put(store, types.0, config)?;
    let descriptor_of = |layer: &Layer| {
        let mut descriptor = layer_descriptor(layer, options, forms.oci);
        if let Some(time) = latest_time.filter(|_| forms.oci && !unchanged.contains(&layer.diff_id)) {
            descriptor.annotations.insert(REWRITTEN.into(), time.to_string());
        }
        descriptor
    };
    let descriptors: Vec<Descriptor> = layers.iter().map(descriptor_of).collect();
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

/// The note on a layer that says which time its files were set back to.
const REWRITTEN: &str = "buildkit/rewritten-timestamp";

/// Layers that are somebody else's, whose times stay.
fn layers_of_base(image: &PlatformImage, options: &ImageOptions) -> Result<BTreeSet<DiffId>> {
    match options.configs.of_base(image) {
        [] => Ok(BTreeSet::new()),
        base => {
            let base = ImageConfig::parse(base)
                .map_err(|error| Error::Config(format!("of the base image: {error}")))?;
            Ok(base.rootfs.diff_ids.into_iter().collect())
        }
    }
}

fn layers(
    image: &PlatformImage,
    options: &ImageOptions,
    latest_time: Option<i64>,
    unchanged: BTreeSet<DiffId>,
) -> Result<Vec<Layer>> {
    let Some(reference) = &image.reference else { return Ok(Vec::new()) };
    let wanted =
        LayerOptions { compress: options.compress, force: options.force_compression, latest_time, unchanged };
    Ok(reference.layers(&wanted)?)
}

/// Of the image's family of media types, without notes that are the store's own. A layer that is to be had elsewhere
/// stays one if that is wanted; else it is one of the image's own.
fn layer_descriptor(layer: &Layer, options: &ImageOptions, oci: bool) -> Descriptor {
    let mut descriptor = layer.descriptor.clone();
    let is_foreign = options.keep_nondistributable && !descriptor.urls.is_empty();
    if let Some(compression) = Compression::of_layer(&descriptor.media_type) {
        let name = match (is_foreign, oci) {
            (true, true) => compression.oci_foreign_layer(),
            (true, false) => compression.docker_foreign_layer(),
            (false, true) => compression.oci_layer(),
            (false, false) => compression.docker_layer(),
        };
        descriptor.media_type = name.into();
    }
    if !is_foreign {
        descriptor.urls.clear();
    }
    let keep = |key: &str| {
        oci && !matches!(key, "containerd.io/uncompressed" | "buildkit/createdat")
            && !key.starts_with("containerd.io/distribution.source.")
    };
    let annotations: BTreeMap<_, _> =
        descriptor.annotations.into_iter().filter(|(key, _)| keep(key)).collect();
    descriptor.annotations = annotations;
    descriptor
}

/// Writes a small blob.
pub(crate) fn put(store: &Store, media_type: &str, json: Vec<u8>) -> Result<StoredJson> {
    let stored = store.blobs().put(&json)?;
    let descriptor = Descriptor::new(media_type, stored.digest, stored.size);
    Ok(StoredJson { descriptor, bytes: json.into(), lease: stored.lease })
}
