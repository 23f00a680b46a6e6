//! Whole images to pull, made from a few files.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use slipway_model::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};
use slipway_model::{Digest, Platform};

use super::FakeRegistry;

/// What [`FakeRegistry::put_image`] made.
#[derive(Clone, Debug)]
pub struct PushedImage {
    pub manifest: Digest,
    pub config: Digest,
    pub layers: Vec<Digest>,
    pub diff_ids: Vec<Digest>,
    pub manifest_size: u64,
}

impl FakeRegistry {
    /// Tags an image whose layers each hold one list of files (path, content).
    pub fn put_image(
        &self,
        repository: &str,
        tag: &str,
        platform: &Platform,
        layers: &[&[(&str, &[u8])]],
    ) -> anyhow::Result<PushedImage> {
        let mut descriptors = Vec::new();
        let (mut digests, mut diff_ids) = (Vec::new(), Vec::new());
        for files in layers {
            let tar = layer_tar(files)?;
            let packed = gzip(&tar)?;
            let size = packed.len();
            let digest = self.put_blob(repository, packed);
            descriptors.push(json!({ "mediaType": OCI_LAYER_GZIP, "digest": digest, "size": size }));
            digests.push(digest);
            diff_ids.push(Digest::of(&tar));
        }
        let config = serde_json::to_vec(&json!({
            "architecture": platform.architecture, "os": platform.os, "variant": platform.variant,
            "config": { "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": layers.iter().map(|_| json!({ "created_by": "fake" })).collect::<Vec<_>>(),
        }))?;
        let config_size = config.len();
        let config = self.put_blob(repository, config);
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": { "mediaType": OCI_CONFIG, "digest": config, "size": config_size },
            "layers": descriptors,
        }))?;
        let manifest_size = manifest.len() as u64;
        let manifest = self.put_manifest(repository, tag, OCI_MANIFEST, manifest);
        Ok(PushedImage { manifest, config, layers: digests, diff_ids, manifest_size })
    }

    /// Tags an index over images that were put before.
    pub fn put_index(
        &self,
        repository: &str,
        tag: &str,
        images: &[(Platform, &PushedImage)],
    ) -> anyhow::Result<Digest> {
        let manifests: Vec<_> = images
            .iter()
            .map(|(platform, image)| {
                json!({ "mediaType": OCI_MANIFEST, "digest": image.manifest, "size": image.manifest_size, "platform": platform })
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
        Ok(self.put_manifest(repository, tag, OCI_INDEX, serde_json::to_vec(&index)?))
    }
}

/// An uncompressed layer: regular files of mode 0644, in the order given.
pub fn layer_tar(files: &[(&str, &[u8])]) -> anyhow::Result<Bytes> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        archive.append_data(&mut header, path, *content)?;
    }
    Ok(archive.into_inner()?.into())
}

pub fn gzip(bytes: &[u8]) -> anyhow::Result<Bytes> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes)?;
    Ok(packed.finish()?.into())
}
