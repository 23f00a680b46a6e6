//! Debian's `docker-registry` (the distribution project's server) and skopeo, an independent reader.
//! Skipped, with a word, where they are not installed.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slipway_model::media_type::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
use slipway_model::{Descriptor, Digest, Platform, Reference};
use slipway_registry::{Client, Pushed};

use crate::support::{anonymous, blob, logged_in, noise};

/// `htpasswd -nbBC 5 me secret`
const HTPASSWD: &str = "me:$2y$05$bwQ4D5ZoEmXcXdHXHKUHEuAldn2KfRYr2ZvHne9pIkeLhQMP3CcuO\n";

struct Distribution {
    server: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
    }
}

/// `None`, and a word about it, where the server is not installed.
async fn start(with_account: bool) -> Option<Distribution> {
    if Command::new("docker-registry").arg("--version").output().is_err() {
        println!("skipped: docker-registry is not installed");
        return None;
    }
    // The server cannot be asked which port it took: another taking this one in between is tried again.
    for _ in 0..5 {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let folder = tempfile::tempdir().unwrap();
        let config = write_config(folder.path(), &address, with_account);
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut started = Distribution { server, address, _folder: folder };
        while started.server.try_wait().unwrap().is_none() {
            if tokio::net::TcpStream::connect(&started.address).await.is_ok() {
                return Some(started);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    panic!("docker-registry does not start");
}

fn write_config(folder: &Path, address: &str, with_account: bool) -> std::path::PathBuf {
    let mut text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}, secret: x}}\n",
        folder.join("data").display()
    );
    if with_account {
        let accounts = folder.join("htpasswd");
        std::fs::write(&accounts, HTPASSWD).unwrap();
        text += &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", accounts.display());
    }
    let path = folder.join("config.yml");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path
}

async fn push_image(client: &Client, name: &Reference, layer: &[u8]) -> Descriptor {
    let packed = slipway_fakes::registry::gzip(layer).unwrap();
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(layer)] },
    }))
    .unwrap();
    let typed = |media_type: &str, bytes: &[u8]| Descriptor { media_type: media_type.into(), ..blob(bytes) };
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": typed(OCI_CONFIG, &config), "layers": [typed(OCI_LAYER_GZIP, &packed)],
    }))
    .unwrap();
    for bytes in [packed, config.into()] {
        client.push_blob(name, &blob(&bytes), Arc::new(bytes.clone()), &[], None).await.unwrap();
    }
    client.push_manifest(name, OCI_MANIFEST, manifest.into()).await.unwrap()
}

#[tokio::test]
async fn there_and_back_again() {
    let Some(server) = start(false).await else { return };
    let client = anonymous();
    let name: Reference = format!("{}/team/app:v1", server.address).parse().unwrap();
    let layer = slipway_fakes::registry::layer_tar(&[("file", &noise(3_000_000))]).unwrap();
    let pushed = push_image(&client, &name, &layer).await;
    assert_eq!(client.head(&name).await.unwrap(), pushed);
    let found = client.resolve_platform(&name, &Platform::new("linux", "amd64", "")).await.unwrap();
    assert_eq!(found.descriptor, pushed);
    let packed = &found.manifest.layers[0];
    let whole = client.pull_blob(&name, packed, 0).await.unwrap().collect().await.unwrap();
    let part = client.pull_blob(&name, packed, 1_000_000).await.unwrap().collect().await.unwrap();
    assert!(whole[1_000_000..] == part);

    let other: Reference = format!("{}/other:v1", server.address).parse().unwrap();
    let source = Arc::new(whole);
    let mounted = client.push_blob(&other, packed, source.clone(), &["team/app".into()], None).await.unwrap();
    assert_eq!(mounted, Pushed::Mounted { from: "team/app".into() });
    let again = client.push_blob(&other, packed, source, &[], None).await.unwrap();
    assert_eq!(again, Pushed::Existed);
    assert!(client.resolve(&other).await.unwrap_err().is_not_found());
    read_with_skopeo(&name, &[]);
}

#[tokio::test]
async fn with_an_account() {
    let Some(server) = start(true).await else { return };
    let name: Reference = format!("{}/app:v1", server.address).parse().unwrap();
    let (client, _) = logged_in("me", "secret");
    push_image(&client, &name, b"").await;
    client.resolve(&name).await.unwrap();
    for client in [anonymous(), logged_in("me", "wrong").0] {
        assert!(client.resolve(&name).await.unwrap_err().is_unauthorized());
        let bytes = Bytes::from_static(b"x");
        let error =
            client.push_blob(&name, &blob(&bytes), Arc::new(bytes.clone()), &[], None).await.unwrap_err();
        assert!(error.is_unauthorized() && error.to_string().contains("UNAUTHORIZED"), "{error}");
    }
    read_with_skopeo(&name, &["--src-creds=me:secret"]);
}

/// Copies the image to a folder, which reads and verifies every blob.
fn read_with_skopeo(name: &Reference, more: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let copy = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
        .args(more)
        .arg(format!("docker://{name}"))
        .arg(format!("dir:{}", folder.path().display()))
        .output();
    match copy {
        Ok(copy) => assert!(copy.status.success(), "{}", String::from_utf8_lossy(&copy.stderr)),
        Err(_) => println!("not read again: skopeo is not installed"),
    }
}
