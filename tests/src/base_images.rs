//! Base images made from Debian's packages: no hub is asked.
//!
//! `busybox` is Debian's static busybox with its links; `debian:bookworm` is made by mmdebstrap. Both are
//! written as OCI layouts, which skopeo copies to a registry.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use slipway_model::{Digest, Hasher, media_type};

use crate::command::{output, run};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CREATED: &str = "2023-11-14T22:13:20Z";

/// Writes `busybox` as an OCI layout below `folder`; keeps one that is there.
pub fn busybox(folder: &Path) -> Result<PathBuf> {
    let layout = folder.join("busybox");
    if layout.join("index.json").exists() {
        return Ok(layout);
    }
    let root = folder.join("busybox.root");
    let _ = fs::remove_dir_all(&root);
    for directory in [
        "bin", "sbin", "etc", "tmp", "root", "dev", "proc", "sys", "var", "run", "usr/bin", "usr/sbin",
        "home", "lib",
    ] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))?;
    fs::copy(program("busybox")?, root.join("bin/busybox"))?;
    let commands = output(Command::new("busybox").arg("--list-full"))?;
    for name in commands.lines().filter(|name| *name != "bin/busybox") {
        let link = root.join(name);
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent)?;
        }
        let _ = symlink("/bin/busybox", link);
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    let archive = folder.join("busybox.tar");
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--mtime=@1700000000", "--owner=0", "--group=0", "--numeric-owner", "-C"]);
    run(tar.arg(&root).arg("-cf").arg(&archive).arg("."))?;
    write_layout(&layout, "latest", &archive, &json!({ "Env": [PATH], "Cmd": ["sh"] }))?;
    fs::remove_dir_all(&root)?;
    fs::remove_file(&archive)?;
    Ok(layout)
}

/// The busybox that all tests share: made once, beside them.
pub fn busybox_of_tests() -> PathBuf {
    let folder = crate::binary::profile_folder().join("base-images");
    fs::create_dir_all(&folder).expect("a folder");
    // Tests are processes of their own: the first makes it, the others wait.
    let lock = File::create(folder.join("lock")).expect("a lock file");
    lock.lock().expect("a lock");
    busybox(&folder).unwrap_or_else(|error| panic!("cannot make the base image: {error:#}"))
}

/// Writes `debian:bookworm` as an OCI layout below `folder`; keeps one that is there. About half a minute.
pub fn debian(folder: &Path) -> Result<PathBuf> {
    let layout = folder.join("debian");
    if layout.join("index.json").exists() {
        return Ok(layout);
    }
    let archive = folder.join("debian.tar");
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=minbase", "--include=ca-certificates", "bookworm"]).arg(&archive);
    run(&mut make)?;
    write_layout(&layout, "bookworm", &archive, &json!({ "Env": [PATH], "Cmd": ["bash"] }))?;
    fs::remove_file(&archive)?;
    Ok(layout)
}

fn program(name: &str) -> Result<PathBuf> {
    let found = output(Command::new("which").arg(name))?;
    Ok(found.trim().into())
}

/// One image of one layer, for the machine's own architecture.
fn write_layout(layout: &Path, tag: &str, archive: &Path, config: &Value) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let (layer, size, diff_id) = write_layer(&blobs, archive)?;
    let architecture = slipway_model::Platform::host().architecture;
    let platform = json!({ "architecture": architecture, "os": "linux" });
    let config = json!({
        "created": CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
        "history": [{ "created": CREATED, "created_by": "made from Debian packages" }],
    });
    let (config, config_size) = write_json(&blobs, &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": { "mediaType": media_type::OCI_CONFIG, "digest": config.to_string(), "size": config_size },
        "layers": [{ "mediaType": media_type::OCI_LAYER_GZIP, "digest": layer.to_string(), "size": size }],
    });
    let (manifest, manifest_size) = write_json(&blobs, &manifest)?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [{
            "mediaType": media_type::OCI_MANIFEST,
            "digest": manifest.to_string(),
            "size": manifest_size,
            "platform": platform,
            "annotations": { "org.opencontainers.image.ref.name": tag },
        }],
    });
    // Last: a layout with an index is whole.
    fs::write(layout.join("index.json"), index.to_string())?;
    Ok(())
}

fn write_layer(blobs: &Path, archive: &Path) -> Result<(Digest, u64, Digest)> {
    let packed = blobs.join("layer.tmp");
    let mut gzip = Command::new("gzip");
    gzip.args(["-n", "-6", "-c"]).arg(archive).stdout(File::create(&packed)?);
    run(&mut gzip)?;
    let (diff_id, _) = hash(archive)?;
    let (digest, size) = hash(&packed)?;
    fs::rename(&packed, blobs.join(digest.hex()))?;
    Ok((digest, size, diff_id))
}

fn hash(path: &Path) -> Result<(Digest, u64)> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            let size = hasher.length();
            return Ok((hasher.finish(), size));
        }
        hasher.write_all(&buffer[..length])?;
    }
}

fn write_json(blobs: &Path, json: &Value) -> Result<(Digest, usize)> {
    let text = json.to_string();
    let digest = Digest::of(&text);
    fs::write(blobs.join(digest.hex()), &text)?;
    Ok((digest, text.len()))
}
