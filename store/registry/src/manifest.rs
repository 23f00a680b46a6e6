//! What the manifest endpoint gives: bounded, hashed, and of a kind we know.

use bytes::Bytes;
use serde::Deserialize;
use slipway_model::media_type::{
    DOCKER_INDEX, DOCKER_MANIFEST, DOCKER_SCHEMA1, OCI_INDEX, OCI_MANIFEST, is_index, is_manifest,
};
use slipway_model::{BlobDigest, Descriptor, Digest};

use crate::error::{Asked, Error};

/// The size the distribution specification asks registries to accept, and few go beyond.
pub const LARGEST_MANIFEST: u64 = 4 << 20;
/// Image configs carry labels and history, which grow.
pub const LARGEST_CONFIG: u64 = 16 << 20;

/// The fields that tell what a manifest is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default, rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// The descriptor of `bytes`, whose digest is `expected` or else computed.
///
/// `content_type` is what the server called it; the body has the last word where that is no
/// manifest type. One that could be read both as an image and as an index is refused
/// (CVE-2021-41190).
pub(crate) fn describe(
    bytes: &Bytes,
    content_type: &str,
    expected: Option<BlobDigest>,
    asked: &Asked,
) -> Result<Descriptor, Error> {
    let digest = match expected {
        Some(expected) => verify(bytes, expected, asked)?,
        None => BlobDigest(Digest::of(bytes)),
    };
    let invalid = |reason: String| Error::Manifest { asked: asked.clone(), reason };
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    if shape.schema_version == 1 || shape.fs_layers.is_some() || content_type == DOCKER_SCHEMA1 {
        return Err(Error::Schema1 { asked: asked.clone() });
    }
    let (index, image) = (shape.manifests.is_some(), shape.config.is_some() || shape.layers.is_some());
    if index && image {
        return Err(invalid("it is both an image and an index".into()));
    }
    let known = |media_type: &str| is_index(media_type) || is_manifest(media_type);
    let media_type = match [content_type, shape.media_type.as_str()].into_iter().find(|m| known(m)) {
        Some(media_type) => media_type,
        None if index => OCI_INDEX,
        None if image => OCI_MANIFEST,
        None => return Err(invalid(format!("its type is {content_type:?}"))),
    };
    let fits = match media_type {
        OCI_INDEX | DOCKER_INDEX => !image,
        OCI_MANIFEST | DOCKER_MANIFEST => !index,
        _ => false,
    };
    if !fits {
        return Err(invalid(format!("it is called {media_type} but is not one")));
    }
    Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
}

pub(crate) fn verify(bytes: &[u8], expected: BlobDigest, asked: &Asked) -> Result<BlobDigest, Error> {
    let actual = digest_like(expected.0, bytes);
    if actual == expected.0 {
        return Ok(expected);
    }
    Err(Error::Corrupt { asked: asked.clone(), expected: Box::new(expected.0), actual: Box::new(actual) })
}

/// The digest of `bytes` by the algorithm of `like`.
fn digest_like(like: Digest, bytes: &[u8]) -> Digest {
    let mut hasher = crate::pull::Verifier::new(like);
    hasher.update(bytes);
    hasher.finish()
}
