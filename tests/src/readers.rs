//! What independent programs say about what was made.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::output;

/// The image config, as `skopeo inspect --config` reads it from `docker://…`, `oci:…`, `oci-archive:…`.
#[track_caller]
pub fn config(image: &str) -> Value {
    skopeo(&["inspect", "--config", "--tls-verify=false", image])
}

/// The manifest, unchanged.
#[track_caller]
pub fn manifest(image: &str) -> Value {
    skopeo(&["inspect", "--raw", "--tls-verify=false", image])
}

/// The same, byte for byte.
#[track_caller]
pub fn raw(image: &str) -> String {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--raw", "--tls-verify=false", image]);
    output(&mut skopeo).unwrap_or_else(|error| panic!("{error:#}"))
}

#[track_caller]
fn skopeo(arguments: &[&str]) -> Value {
    let said = output(Command::new("skopeo").args(arguments)).unwrap_or_else(|error| panic!("{error:#}"));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("skopeo {arguments:?}: {error}\n{said}"))
}

/// Unpacks an image with umoci; gives its root filesystem at `folder/bundle/rootfs`.
#[track_caller]
pub fn unpack(image: &str, folder: &Path) -> std::path::PathBuf {
    fs::create_dir_all(folder).expect("a folder");
    let layout = folder.join("layout");
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--quiet", "--src-tls-verify=false", image])
        .arg(format!("oci:{}:image", layout.display()));
    output(&mut copy).unwrap_or_else(|error| panic!("{error:#}"));
    let bundle = folder.join("bundle");
    let mut unpack = Command::new("umoci");
    unpack.args(["unpack", "--image", &format!("{}:image", layout.display())]).arg(&bundle);
    output(&mut unpack).unwrap_or_else(|error| panic!("{error:#}"));
    bundle.join("rootfs")
}
