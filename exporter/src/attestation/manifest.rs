//! Statements as layers of a manifest that points to its image.
//!
//! | form | config | points to its image |
//! |---|---|---|
//! | artifact (`oci-artifact`, the default) | the empty one | `subject`, and annotations of its descriptor |
//! | image (`oci-artifact=false`) | that of an image for `unknown/unknown` | annotations of its descriptor |

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::json;
use slipway_model::{BlobDigest, Descriptor, Manifest, Platform, media_type};
use slipway_store::Store;

use super::statement::Statement;
use crate::error::Result;
use crate::image::{StoredJson, json, put};

/// What runtimes never choose.
const NO_PLATFORM: &str = "unknown";

/// An attestation manifest and all it names.
#[derive(Clone, Debug)]
pub struct CommittedAttestations {
    pub config: StoredJson,
    pub manifest: StoredJson,
    pub statements: Vec<StoredJson>,
    /// As an index lists it.
    pub descriptor: Descriptor,
    /// What the manifest itself points to.
    pub subject: Option<BlobDigest>,
}

impl CommittedAttestations {
    /// Those first that others name.
    pub fn blobs(&self) -> impl Iterator<Item = &StoredJson> {
        self.statements.iter().chain([&self.config, &self.manifest])
    }
}

/// Writes the statements about the image `of`. Blocks.
pub fn commit(
    store: &Store,
    of: &Descriptor,
    statements: &[Statement],
    as_artifact: bool,
) -> Result<CommittedAttestations> {
    let mut stored = Vec::new();
    let mut layers = Vec::new();
    for statement in statements {
        let json = json::compact("a statement", statement)?;
        let one = put(store, media_type::IN_TOTO, json)?;
        let mut layer = one.descriptor.clone();
        layer.annotations.insert("in-toto.io/predicate-type".into(), statement.predicate_type.clone());
        layers.push(layer);
        stored.push(one);
    }
    let config = if as_artifact { empty_config(store)? } else { image_config(store, &layers)? };
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: as_artifact.then(|| media_type::ATTESTATION_ARTIFACT.to_owned()),
        config: config.descriptor.clone(),
        layers,
        subject: as_artifact.then(|| Descriptor::new(of.media_type.clone(), of.digest, of.size)),
        annotations: BTreeMap::new(),
    };
    let manifest = put(store, media_type::OCI_MANIFEST, json::indented("the manifest", &manifest)?)?;
    let mut descriptor = manifest.descriptor.clone();
    descriptor.annotations = BTreeMap::from([
        ("vnd.docker.reference.digest".to_owned(), of.digest.to_string()),
        ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
    ]);
    descriptor.platform = Some(Platform::new(NO_PLATFORM, NO_PLATFORM, ""));
    let subject = as_artifact.then_some(of.digest);
    Ok(CommittedAttestations { config, manifest, statements: stored, descriptor, subject })
}

fn empty_config(store: &Store) -> Result<StoredJson> {
    let mut config = put(store, media_type::OCI_EMPTY, b"{}".to_vec())?;
    config.descriptor.data = Some(base64::engine::general_purpose::STANDARD.encode("{}"));
    Ok(config)
}

fn image_config(store: &Store, layers: &[Descriptor]) -> Result<StoredJson> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.digest).collect();
    let config = json!({
        "architecture": NO_PLATFORM,
        "os": NO_PLATFORM,
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    put(store, media_type::OCI_CONFIG, json::compact("the config of attestations", &config)?)
}
