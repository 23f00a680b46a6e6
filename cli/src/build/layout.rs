//! OCI layouts as named contexts: `oci-layout://FOLDER[:TAG|@DIGEST]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use slipway_model::{BlobDigest, Index};

const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";

pub struct NamedLayout {
    pub folder: PathBuf,
    pub digest: BlobDigest,
}

/// Finds the image that `text` names; `Err` says what is wrong.
pub fn named(text: &str) -> Result<NamedLayout, String> {
    if let Some((folder, digest)) = text.rsplit_once('@') {
        let digest = digest.parse().map_err(|error| format!("{error}"))?;
        return Ok(NamedLayout { folder: existing(Path::new(folder))?, digest });
    }
    // A colon may belong to the path: what exists as a whole has no tag.
    let (folder, tag) = match text.rsplit_once(':') {
        Some((folder, tag)) if !tag.contains('/') && !Path::new(text).exists() => (folder, tag),
        _ => (text, "latest"),
    };
    let folder = existing(Path::new(folder))?;
    let digest = tagged(&folder, tag)?;
    Ok(NamedLayout { folder, digest })
}

fn existing(folder: &Path) -> Result<PathBuf, String> {
    folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))
}

fn tagged(folder: &Path, tag: &str) -> Result<BlobDigest, String> {
    let path = folder.join("index.json");
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let index = Index::deserialize(&mut reader).map_err(|error| format!("{}: {error}", path.display()))?;
    let has_tag = |annotation: Option<&String>| {
        annotation.is_some_and(|name| name == tag || name.rsplit_once(':').is_some_and(|(_, own)| own == tag))
    };
    let found = index.manifests.iter().find(|manifest| has_tag(manifest.annotations.get(REFERENCE_NAME)));
    match (found, &index.manifests[..]) {
        (Some(manifest), _) => Ok(manifest.digest),
        // A layout of one nameless image.
        (None, [only]) if !only.annotations.contains_key(REFERENCE_NAME) => Ok(only.digest),
        _ => Err(format!("{} has no image with the tag {tag}", folder.display())),
    }
}
