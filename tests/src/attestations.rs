//! What is said about an image in a registry or a layout, read from its blobs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::output;

/// An image and all that hangs on it, copied to a folder as it is.
pub struct Stored {
    folder: tempfile::TempDir,
    /// What the name stands for.
    pub root: Value,
}

impl Stored {
    /// `docker://…`, `oci-archive:…`
    #[track_caller]
    pub fn copy(image: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false", image]);
        copy.arg(format!("oci:{}:copy", folder.path().display()));
        output(&mut copy).unwrap_or_else(|error| panic!("{error:#}"));
        let index = read(folder.path(), "index.json");
        let root = blob(folder.path(), text(&index["manifests"][0]["digest"]));
        Self { folder, root: json(&root) }
    }

    pub fn blob(&self, digest: &str) -> Value {
        json(&blob(self.folder.path(), digest))
    }

    /// The descriptors that an index lists: of images, and of attestations.
    #[track_caller]
    pub fn manifests(&self) -> (Vec<Value>, Vec<Value>) {
        let all = self.root["manifests"].as_array().unwrap_or_else(|| panic!("no index: {:#}", self.root));
        let is_image = |it: &&Value| it["platform"]["os"] != "unknown";
        let (images, attestations): (Vec<&Value>, Vec<&Value>) = all.iter().partition(is_image);
        (images.into_iter().cloned().collect(), attestations.into_iter().cloned().collect())
    }

    /// Statements of the nth attestation manifest, by predicate type.
    #[track_caller]
    pub fn statements(&self, nth: usize) -> BTreeMap<String, Value> {
        let (_, attestations) = self.manifests();
        let manifest = self.blob(text(&attestations[nth]["digest"]));
        let layers = manifest["layers"].as_array().expect("layers");
        let statement = |layer: &Value| {
            let kind = text(&layer["annotations"]["in-toto.io/predicate-type"]).to_owned();
            let statement = self.blob(text(&layer["digest"]));
            assert_eq!(statement["predicateType"], kind.as_str());
            assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
            (kind, statement)
        };
        layers.iter().map(statement).collect()
    }
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value:#}"))
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn read(folder: &Path, name: &str) -> Value {
    json(&std::fs::read(folder.join(name)).expect("a file"))
}

fn blob(folder: &Path, digest: &str) -> Vec<u8> {
    let path = folder.join("blobs").join(digest.replace(':', "/"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
