//! Results of builds: what describes an exported image is kept, its layers are only named.

use std::io::Read as _;

use serde::Deserialize;
use slipway_model::Descriptor;

use super::Inner;
use super::error::{Error, Result};
use super::table::Named;

/// Manifests, indexes and configs are not larger than this.
const LARGEST: u64 = 8 << 20;
/// An index of an index of an index is no image.
const DEEPEST: usize = 4;
/// Blobs of one result that are named.
const MOST: usize = 10_000;

/// Whatever of an index or a manifest names something else.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Names {
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
}

impl Inner {
    /// Copies what describes `result` and adds what belongs to it to `content`. Whether all of it is here.
    pub(super) fn keep_result(&self, result: &Descriptor, content: &mut Vec<Named>) -> Result<bool> {
        self.keep_tree(result, content, DEEPEST)
    }

    fn keep_tree(&self, node: &Descriptor, content: &mut Vec<Named>, depth: usize) -> Result<bool> {
        if depth == 0 || content.len() > MOST {
            return Ok(false);
        }
        let Some(bytes) = self.keep(node, content)? else { return Ok(false) };
        // What is no JSON names nothing.
        let names: Names = serde_json::from_slice(&bytes).unwrap_or_default();
        for manifest in &names.manifests {
            self.keep_tree(manifest, content, depth - 1)?;
        }
        if let Some(config) = &names.config {
            self.keep(config, content)?;
        }
        for layer in &names.layers {
            if layer.media_type == "application/vnd.in-toto+json" {
                self.keep(layer, content)?;
            } else {
                content.push((layer.digest.to_string(), false));
            }
        }
        Ok(true)
    }

    /// Copies one blob; `None` if it is not here or too large for what it should be.
    fn keep(&self, blob: &Descriptor, content: &mut Vec<Named>) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.store.blobs().open(&blob.digest)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io("read", blob.digest.to_string(), error))?;
        if bytes.len() as u64 > LARGEST {
            return Ok(None);
        }
        let digest = self.content.put(&bytes)?;
        content.push((digest.to_string(), true));
        Ok(Some(bytes))
    }
}
