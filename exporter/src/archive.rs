//! An image as files: the OCI image layout, as one tar stream or handed over blob by blob.
//!
//! | file | |
//! |---|---|
//! | `oci-layout` | version of the layout |
//! | `index.json` | one descriptor for each name of the image |
//! | `manifest.json` | `docker` only: config, layers and tags, for `docker load` before version 25 |
//! | `blobs/sha256/…` | everything else |
//!
//! Members are sorted by name and have no times, as the reference's: equal images, equal archives.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;
use slipway_model::{Descriptor, Index, Reference, media_type};
use slipway_store::Store;
use slipway_store::layer::tar::{Entry, Kind, Writer};

use crate::attestation::Placement;
use crate::error::{Error, Result};
use crate::image::Committed;
use crate::sink::LayoutSink;

/// The content of `oci-layout`.
pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Which files an archive has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Oci,
    /// With `manifest.json`.
    Docker,
}

/// The names of an image, complete: `docker.io/library/app:latest`.
pub fn normalized_names(names: &str) -> Result<Vec<Reference>> {
    let parse = |name: &str| -> Result<Reference> {
        let parsed: Reference = name.parse().map_err(|source| Error::Name { name: name.into(), source })?;
        Ok(parsed.or_latest())
    };
    names.split(',').filter(|name| !name.is_empty()).map(parse).collect()
}

/// Writes the archive. Blocks.
pub fn write_tar(
    store: &Store,
    image: &Committed,
    names: &[Reference],
    variant: Variant,
    out: &mut dyn Write,
) -> Result<()> {
    let mut small: BTreeMap<String, (u32, Vec<u8>)> = BTreeMap::new();
    small.insert("oci-layout".into(), (0o444, LAYOUT.to_vec()));
    small.insert("index.json".into(), (0o644, index(image, names)?));
    if variant == Variant::Docker {
        small.insert("manifest.json".into(), (0o644, docker_manifest(image, names)?));
    }
    let mut writer = Writer::new(out);
    for name in ["blobs/", "blobs/sha256/"] {
        writer.header(&Entry { mode: 0o755, ..Entry::new(Kind::Directory, name) })?;
    }
    let blobs: BTreeMap<String, Descriptor> =
        image.blobs().into_iter().map(|blob| (path(&blob), blob)).collect();
    for (name, blob) in blobs {
        let mut content =
            store.blobs().open(&blob.digest)?.ok_or_else(|| Error::MissingBlob(Box::new(blob.digest)))?;
        let entry = Entry { mode: 0o444, size: blob.size, ..Entry::new(Kind::File, name) };
        writer.append(&entry, &mut content)?;
    }
    for (name, (mode, content)) in small {
        let entry = Entry { mode, size: content.len() as u64, ..Entry::new(Kind::File, name) };
        writer.append(&entry, &mut &content[..])?;
    }
    writer.finish()?;
    Ok(())
}

/// Hands the blobs over, those first that others name. Blocks.
pub fn write_layout(
    store: &Store,
    image: &Committed,
    names: &[Reference],
    mut sink: Box<dyn LayoutSink>,
) -> Result<()> {
    for blob in image.blobs() {
        let mut content =
            store.blobs().open(&blob.digest)?.ok_or_else(|| Error::MissingBlob(Box::new(blob.digest)))?;
        sink.blob(&blob, &mut content).map_err(Error::output("write the layout"))?;
    }
    sink.finish(&index(image, names)?).map_err(Error::output("write the layout"))
}

fn path(blob: &Descriptor) -> String {
    format!("blobs/{}/{}", blob.digest.0.algorithm(), blob.digest.0.hex())
}

/// The image once for each name, annotated with it.
fn index(image: &Committed, names: &[Reference]) -> Result<Vec<u8>> {
    let named = |name: &Reference| {
        let mut descriptor = image.root.clone();
        let short = name.tag().map_or_else(|| name.to_string(), str::to_owned);
        descriptor.annotations.insert("io.containerd.image.name".into(), name.to_string());
        descriptor.annotations.insert("org.opencontainers.image.ref.name".into(), short);
        descriptor
    };
    let mut manifests =
        if names.is_empty() { vec![image.root.clone()] } else { names.iter().map(named).collect() };
    if image.placement == Placement::Referrers {
        manifests.extend(image.attestations.iter().map(|attestations| attestations.descriptor.clone()));
    }
    let index = Index {
        schema_version: 2,
        media_type: media_type::OCI_INDEX.into(),
        manifests,
        annotations: BTreeMap::new(),
    };
    serde_json::to_vec(&index).map_err(Error::json("the archive's index"))
}

fn docker_manifest(image: &Committed, names: &[Reference]) -> Result<Vec<u8>> {
    let tags: Vec<String> = names.iter().map(familiar).collect();
    let one = |image: &crate::image::CommittedImage| {
        let layers: Vec<String> = image.layers.iter().map(path).collect();
        json!({ "Config": path(&image.config.descriptor), "RepoTags": tags, "Layers": layers })
    };
    let all: Vec<_> = image.images.iter().map(one).collect();
    serde_json::to_vec(&all).map_err(Error::json("the archive's manifest"))
}

/// As `docker images` shows it.
fn familiar(name: &Reference) -> String {
    match (name.tag(), name.digest()) {
        (Some(tag), _) => format!("{}:{tag}", name.familiar_name()),
        (None, Some(digest)) => format!("{}@{digest}", name.familiar_name()),
        (None, None) => name.familiar_name(),
    }
}
