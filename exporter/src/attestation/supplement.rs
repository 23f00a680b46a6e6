//! An SBOM learns which layer brought each file it names: `"comment": "layerID: sha256:…"`.
//!
//! Scanners see a tree, not layers. Files that have a comment already keep it. What is no SPDX document stays as it
//! is: it is somebody else's, and not ours to refuse.

use std::collections::{HashMap, HashSet};
use std::io::BufReader;

use bytes::Bytes;
use serde_json::{Value, json};
use slipway_model::{BlobDigest, Descriptor};
use slipway_store::Store;
use slipway_store::layer::tar::Reader;
use slipway_store::layer::{LayerError, apply};

use super::{Attestation, Content, Kind, SPDX};
use crate::error::{Error, Result};

/// Who has added the comments.
const TOOL: &str = concat!("Tool: slipway-v", env!("CARGO_PKG_VERSION"));
const LONGEST_NAME: usize = 64 << 10;

/// `attestation` with layers, if it is the SBOM of an image of these. Blocks.
pub fn supplement(store: &Store, attestation: Attestation, layers: &[Descriptor]) -> Result<Attestation> {
    let is_core =
        attestation.kind == Kind::InToto && attestation.predicate_type == SPDX && attestation.is_core();
    if !is_core || layers.is_empty() {
        return Ok(attestation);
    }
    let content = attestation.read(layers)?;
    let Ok(mut document) = serde_json::from_slice::<Value>(&content) else { return Ok(attestation) };
    if document.get("spdxVersion").is_none() {
        return Ok(attestation);
    }
    let wanted: HashSet<String> =
        files(&mut document).filter(|file| !has_comment(file)).map(|file| name_of(file)).collect();
    let found = layers_of(store, layers, wanted)?;
    for file in files(&mut document).filter(|file| !has_comment(file)) {
        if let Some(layer) = found.get(&name_of(file)) {
            file["comment"] = format!("layerID: {layer}").into();
        }
    }
    add_creator(&mut document);
    let bytes = serde_json::to_vec(&document).map_err(Error::json("an SBOM"))?;
    Ok(Attestation { content: Content::Bytes(Bytes::from(bytes)), ..attestation })
}

fn files(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let files = document.get_mut("files").and_then(Value::as_array_mut);
    files.into_iter().flatten().filter(|file| file.is_object())
}

fn has_comment(file: &Value) -> bool {
    file.get("comment").and_then(Value::as_str).is_some_and(|comment| !comment.is_empty())
}

/// As layers have it: without a slash at either end.
fn name_of(file: &Value) -> String {
    let name = file.get("fileName").and_then(Value::as_str).unwrap_or_default();
    let parts = name.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

fn add_creator(document: &mut Value) {
    let Some(document) = document.as_object_mut() else { return };
    let info = document.entry("creationInfo").or_insert(Value::Null);
    if info.is_null() {
        *info = json!({});
    }
    let Some(info) = info.as_object_mut() else { return };
    let creators = info.entry("creators").or_insert(Value::Null);
    if creators.is_null() {
        *creators = json!([]);
    }
    creators.as_array_mut().into_iter().for_each(|creators| creators.push(TOOL.into()));
}

/// The topmost layer that brings each of `wanted`.
fn layers_of(
    store: &Store,
    layers: &[Descriptor],
    mut wanted: HashSet<String>,
) -> Result<HashMap<String, BlobDigest>> {
    let mut found = HashMap::new();
    for layer in layers.iter().rev() {
        if wanted.is_empty() {
            break;
        }
        let mut blob =
            store.blobs().open(&layer.digest)?.ok_or_else(|| Error::MissingBlob(Box::new(layer.digest)))?;
        apply::uncompressed(&mut blob, |tar| -> Result<(), LayerError> {
            let mut reader = Reader::new(BufReader::with_capacity(256 << 10, tar), LONGEST_NAME);
            while let Some(entry) = reader.next_entry()? {
                let name = String::from_utf8_lossy(&entry.name);
                let name = name.trim_start_matches("./").trim_matches('/');
                if let Some(name) = wanted.take(name) {
                    found.insert(name, layer.digest);
                }
            }
            Ok(())
        })?;
    }
    Ok(found)
}
