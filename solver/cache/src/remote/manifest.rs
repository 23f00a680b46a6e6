//! What a cache is packed in: a manifest or an index with a config, or an image that carries one inline.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use base64::Engine as _;
use slipway_model::media_type::{Compression, DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST, is_index, is_manifest};
use slipway_model::{BlobDigest, Descriptor, DiffId, ImageConfig, Index, Manifest};

use super::config::{Config, Layer, LayerAnnotations, Record, time_from};
use super::records::RemoteLayer;
use super::{CONFIG_TYPE, CREATED_AT, DESCRIPTION, INLINE_FIELD, UNCOMPRESSED};
use crate::error::{Error, Result};

/// The layer blobs that a cache holds, by digest.
#[derive(Clone, Debug, Default)]
pub struct CacheLayers(HashMap<String, Descriptor>);

impl CacheLayers {
    fn of(descriptors: Vec<Descriptor>) -> Self {
        Self(descriptors.into_iter().map(|blob| (blob.digest.to_string(), blob)).collect())
    }

    /// Those of a config without a manifest: its layers say what they are.
    pub fn described_by(config: &Config) -> Self {
        let described = config.layers.iter().filter_map(|layer| {
            let told = layer.annotations.as_ref()?;
            let size = u64::try_from(told.size).ok()?;
            let mut blob = Descriptor::new(&told.media_type, layer.blob.parse().ok()?, size);
            blob.annotations.insert(UNCOMPRESSED.into(), told.diff_id.clone());
            if time_from(&told.created_at) > SystemTime::UNIX_EPOCH {
                blob.annotations.insert(CREATED_AT.into(), told.created_at.clone());
            }
            Some(blob)
        });
        Self::of(described.collect())
    }

    /// The blob of `layer`, if it is here and it is known what it unpacks to.
    pub(super) fn find(&self, layer: &Layer) -> Option<RemoteLayer> {
        let descriptor = self.0.get(&layer.blob)?.clone();
        Compression::of_layer(&descriptor.media_type)?;
        let told = descriptor.annotations.get(UNCOMPRESSED);
        let told = told.or(layer.annotations.as_ref().map(|annotations| &annotations.diff_id));
        let diff_id = DiffId(told?.parse().ok()?);
        Some(RemoteLayer { descriptor, diff_id })
    }
}

/// What the manifest of a cache says.
#[derive(Debug)]
pub enum Packed {
    /// A cache, and where its config is.
    Cache { config: Box<Descriptor>, layers: CacheLayers },
    /// An image, whose config may hold an inline cache.
    Image(Box<Manifest>),
    /// Several images.
    Images(Vec<Descriptor>),
}

impl Packed {
    pub fn parse(json: &[u8]) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(Error::Config)?;
        match value.get("manifests").is_some() {
            true => Ok(Self::of_index(serde_json::from_value(value).map_err(Error::Config)?)),
            false => Ok(Self::of_manifest(serde_json::from_value(value).map_err(Error::Config)?)),
        }
    }

    fn of_index(index: Index) -> Self {
        let (configs, others): (Vec<_>, Vec<_>) =
            index.manifests.into_iter().partition(|entry| entry.media_type == CONFIG_TYPE);
        match configs.into_iter().next() {
            Some(config) => Self::Cache { config: Box::new(config), layers: CacheLayers::of(others) },
            None => {
                let is_image =
                    |entry: &Descriptor| is_manifest(&entry.media_type) || is_index(&entry.media_type);
                Self::Images(others.into_iter().filter(is_image).collect())
            }
        }
    }

    fn of_manifest(manifest: Manifest) -> Self {
        match manifest.config.media_type.as_str() {
            CONFIG_TYPE => {
                Self::Cache { config: Box::new(manifest.config), layers: CacheLayers::of(manifest.layers) }
            }
            _ => Self::Image(Box::new(manifest)),
        }
    }
}

/// The cache in the config of an image; `None` if there is none.
pub fn inline(manifest: &Manifest, config: &[u8]) -> Result<Option<(Config, CacheLayers)>> {
    let image = ImageConfig::parse(config).map_err(Error::Config)?;
    let Some(text) = image.other.get(INLINE_FIELD).and_then(|field| field.as_str()) else { return Ok(None) };
    if image.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::Broken("the image has another number of layers than its config"));
    }
    let json = base64::engine::general_purpose::STANDARD.decode(text);
    let json = json.map_err(|_| Error::Broken("the inline cache is not base64"))?;
    let records: Option<Vec<Record>> = serde_json::from_slice(&json).map_err(Error::Config)?;
    // Images made of these layers tell the same history again.
    let made_by = image.history.iter().filter(|line| !line.empty_layer).map(|line| line.created_by.clone());
    let mut made_by = made_by.collect::<Vec<_>>().into_iter();
    let mut layers = Vec::new();
    let mut blobs = Vec::new();
    for (index, (descriptor, diff_id)) in manifest.layers.iter().zip(&image.rootfs.diff_ids).enumerate() {
        let mut blob = descriptor.clone();
        blob.annotations.insert(UNCOMPRESSED.into(), diff_id.to_string());
        if let Some(made_by) = made_by.next().filter(|made_by| !made_by.is_empty()) {
            blob.annotations.insert(DESCRIPTION.into(), made_by);
        }
        layers.push(Layer { blob: blob.digest.to_string(), parent: index as i64 - 1, annotations: None });
        blobs.push(blob);
    }
    let config = Config { layers, records: records.unwrap_or_default(), mounts: None };
    Ok(Some((config, CacheLayers::of(blobs))))
}

/// How a cache is packed when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    ImageManifest,
    /// Of OCI's media types, or of Docker's.
    Index {
        oci: bool,
    },
}

/// The manifest of a cache: its JSON and its media type. `layers` are those of its config, in order.
pub fn pack(form: Form, layers: Vec<Descriptor>, config: Descriptor) -> Result<(Vec<u8>, &'static str)> {
    match form {
        Form::ImageManifest => {
            let manifest = Manifest {
                schema_version: 2,
                media_type: OCI_MANIFEST.into(),
                artifact_type: None,
                config,
                layers,
                subject: None,
                annotations: BTreeMap::new(),
            };
            Ok((serde_json::to_vec(&manifest).map_err(Error::Config)?, OCI_MANIFEST))
        }
        Form::Index { oci } => {
            let media_type = if oci { OCI_INDEX } else { DOCKER_INDEX };
            let mut manifests = layers;
            manifests.push(config);
            let index = Index {
                schema_version: 2,
                media_type: media_type.into(),
                manifests,
                annotations: BTreeMap::new(),
            };
            Ok((serde_json::to_vec(&index).map_err(Error::Config)?, media_type))
        }
    }
}

/// The descriptor of a layer as a cache's manifest lists it.
pub fn layer_descriptor(
    layer: &Descriptor,
    diff_id: &DiffId,
    created: Option<String>,
    oci: bool,
) -> Descriptor {
    let media_type = match (Compression::of_layer(&layer.media_type), oci) {
        (Some(compression), true) => compression.oci_layer(),
        (Some(compression), false) => compression.docker_layer(),
        (None, _) => layer.media_type.as_str(),
    };
    let mut descriptor = Descriptor::new(media_type, layer.digest, layer.size);
    descriptor.annotations.insert(UNCOMPRESSED.into(), diff_id.to_string());
    if let Some(created) = created {
        descriptor.annotations.insert(CREATED_AT.into(), created);
    }
    descriptor
}

/// What a config's layer says of itself where no manifest does. `layer` is as a manifest would list it.
pub fn layer_annotations(layer: &Descriptor) -> LayerAnnotations {
    let annotation = |name: &str| layer.annotations.get(name).cloned();
    LayerAnnotations {
        media_type: layer.media_type.clone(),
        diff_id: annotation(UNCOMPRESSED).unwrap_or_default(),
        size: i64::try_from(layer.size).unwrap_or(i64::MAX),
        // What Go reads as no time at all.
        created_at: annotation(CREATED_AT).unwrap_or_else(|| "0001-01-01T00:00:00Z".into()),
    }
}

/// The digest that `config`'s JSON has.
pub fn config_descriptor(json: &[u8]) -> Descriptor {
    Descriptor::new(CONFIG_TYPE, BlobDigest(slipway_model::Digest::of(json)), json.len() as u64)
}
