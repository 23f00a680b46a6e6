//! What is exported.

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_model::{Platform, Reference};
use slipway_store::Ref;

use crate::attestation::Attestation;

/// The result of a build, as an exporter sees it.
#[derive(Clone, Debug)]
pub struct ExportSource {
    pub images: Vec<PlatformImage>,
    /// The client asked for a set of images, even if it has one member: an index is written.
    pub multi_platform: bool,
    /// How the builder of the time made results whose bytes differ by version ([`COMPATIBILITY`]).
    pub compatibility: i64,
    /// The frontend's further words, as they came: `image.name`, `annotation.*`, `source.date.epoch[/ID]`.
    pub metadata: BTreeMap<String, Bytes>,
}

/// What the reference calls the way in which it makes results since its version 0.31.
pub const COMPATIBILITY: i64 = 30;

impl Default for ExportSource {
    fn default() -> Self {
        Self {
            images: Vec::new(),
            multi_platform: false,
            compatibility: COMPATIBILITY,
            metadata: BTreeMap::new(),
        }
    }
}

/// One image of the result.
#[derive(Clone, Debug)]
pub struct PlatformImage {
    /// As the frontend names it in its metadata, mostly `os/arch[/variant]`; empty if it named none.
    pub id: String,
    pub platform: Option<Platform>,
    /// `None` for an image without layers.
    pub reference: Option<Ref>,
    /// The image config (JSON) from the frontend; empty for a default one.
    pub config: Bytes,
    /// The config of the image it is built on; empty if there is none. Its layers and history keep their times.
    pub base_config: Bytes,
    /// Records of the build cache whose results are this image's layers (JSON), to be carried in its config;
    /// empty for none.
    pub inline_cache: Bytes,
    /// What is said about it.
    pub attestations: Vec<Attestation>,
    /// Repositories that the base's layers came from: a registry may take them from there.
    pub base_names: Vec<Reference>,
}

impl PlatformImage {
    pub fn new(id: impl Into<String>, reference: Option<Ref>, config: impl Into<Bytes>) -> Self {
        let id = id.into();
        Self {
            platform: id.parse().ok().filter(|_| !id.is_empty()),
            id,
            reference,
            config: config.into(),
            base_config: Bytes::new(),
            inline_cache: Bytes::new(),
            attestations: Vec::new(),
            base_names: Vec::new(),
        }
    }
}
