//! OCI layouts: as named contexts (`oci-layout://FOLDER[:TAG|@DIGEST]`), as outputs (`tar=false`), and as caches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;
use slipway_model::{BlobDigest, Descriptor, Index, Reference};
use slipway_proto::control::SolveResponse;

use crate::error::Failure;

const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";
/// Larger blobs are no manifests.
const LARGEST_MANIFEST: u64 = 8 << 20;
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

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

/// The digest that the layout in `folder` lists as `tag`; `Err` says why there is none.
pub fn tagged(folder: &Path, tag: &str) -> Result<BlobDigest, String> {
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

/// Lists the image that a build put into `folder` in its index, under each of its names. What else the
/// index lists stays.
pub fn list_exported(folder: &Path, response: &SolveResponse) -> Result<(), Failure> {
    let facts = &response.exporter_response;
    let Some(image) = facts.get("containerimage.descriptor").and_then(|text| descriptor(text)) else {
        return Err(Failure::new("the daemon does not say which image it exported"));
    };
    let names: Vec<&str> = facts.get("image.name").map_or(Vec::new(), |names| names.split(',').collect());
    change_index(folder, |index| {
        if names.is_empty() {
            list(index, &image, None, "latest");
        }
        for name in names {
            let tag = name.parse::<Reference>().ok().and_then(|name| name.tag().map(str::to_owned));
            list(index, &image, Some(name), tag.as_deref().unwrap_or(name));
        }
    })
}

/// Lists the manifest of a cache that a build put into `folder` in its index, as `tag`.
pub fn list_cache(folder: &Path, manifest: &Descriptor, tag: &str) -> Result<(), Failure> {
    change_index(folder, |index| list(index, manifest, None, tag))
}

/// Removes blobs that nothing in the index leads to.
pub fn remove_unlisted(folder: &Path) -> Result<(), Failure> {
    let index = folder.join("index.json");
    let text = std::fs::read(&index).map_err(|error| cannot("read", &index, &error))?;
    let mut listed = BTreeSet::new();
    let mut todo = children(&text);
    while let Some(digest) = todo.pop() {
        let path = blob(folder, &digest);
        if listed.insert(path.clone())
            && std::fs::metadata(&path).is_ok_and(|found| found.len() <= LARGEST_MANIFEST)
            && let Ok(text) = std::fs::read(&path)
        {
            todo.extend(children(&text));
        }
    }
    let algorithms = std::fs::read_dir(folder.join("blobs")).into_iter().flatten().flatten();
    let blobs = algorithms.filter_map(|entry| std::fs::read_dir(entry.path()).ok()).flatten().flatten();
    for path in blobs.map(|entry| entry.path()).filter(|path| !listed.contains(path)) {
        std::fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
    }
    Ok(())
}

fn blob(folder: &Path, digest: &BlobDigest) -> PathBuf {
    folder.join("blobs").join(digest.to_string().replace(':', "/"))
}

/// What a manifest or an index names; nothing for any other blob.
fn children(json: &[u8]) -> Vec<BlobDigest> {
    #[derive(Deserialize)]
    struct Named {
        digest: BlobDigest,
    }
    #[derive(Deserialize)]
    struct Naming {
        config: Option<Named>,
        #[serde(default)]
        layers: Vec<Named>,
        #[serde(default)]
        manifests: Vec<Named>,
    }
    let Ok(Naming { config, layers, manifests }) = serde_json::from_slice(json) else { return Vec::new() };
    config.into_iter().chain(layers).chain(manifests).map(|named| named.digest).collect()
}

fn change_index(folder: &Path, change: impl FnOnce(&mut Index)) -> Result<(), Failure> {
    let path = folder.join("index.json");
    let mut index = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| cannot("read", &path, &error))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Index {
            schema_version: 2,
            media_type: slipway_model::media_type::OCI_INDEX.into(),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
        },
        Err(error) => return Err(cannot("read", &path, &error)),
    };
    change(&mut index);
    let text = serde_json::to_string(&index).map_err(|error| cannot("write", &path, &error))?;
    replace(&folder.join("oci-layout"), LAYOUT)?;
    replace(&path, &text)
}

fn descriptor(text: &str) -> Option<Descriptor> {
    let json = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    serde_json::from_slice(&json).ok()
}

/// In the place of what had the same name.
fn list(index: &mut Index, image: &Descriptor, name: Option<&str>, tag: &str) {
    let mut image = image.clone();
    if let Some(name) = name {
        image.annotations.insert(IMAGE_NAME.into(), name.into());
    }
    image.annotations.insert(REFERENCE_NAME.into(), tag.into());
    let named = |image: &Descriptor| {
        [IMAGE_NAME, REFERENCE_NAME].map(|annotation| image.annotations.get(annotation).cloned())
    };
    index.manifests.retain(|other| named(other) != named(&image));
    index.manifests.push(image);
}

fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let unfinished = path.with_extension("unfinished");
    let written = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, path));
    written.map_err(|error| cannot("write", path, &error))
}

fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("cannot {what} {}: {error}", path.display()))
}
