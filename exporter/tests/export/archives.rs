//! `oci` and `docker`, read by skopeo, umoci and tar.

use slipway_exporter::{ExportSource, PlatformImage};
use slipway_store::SnapshotterChoice;

use crate::support::*;

#[tokio::test]
async fn skopeo_reads_both_archives() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let source = arena.source();
    for (kind, transport) in [("oci", "oci-archive"), ("docker", "docker-archive")] {
        for compression in ["gzip", "uncompressed"] {
            let options = [
                ("name", "app:1,other.example.com/app:2"),
                ("compression", compression),
                ("force-compression", "true"),
            ];
            let response = arena.export(kind, &options, &source).await.unwrap();
            assert_eq!(response.metadata["image.name"], "docker.io/library/app:1,other.example.com/app:2");
            let archive = arena.file();
            let name = if kind == "oci" { "1" } else { "docker.io/library/app:1" };
            let image = format!("{transport}:{}:{name}", archive.display());
            let Some(told) = run("skopeo", &["inspect", "--config", "--raw", &image]) else { return };
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            assert_eq!(told["config"]["Cmd"][0], "/bin/tool");
            assert_eq!(told["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
            let copy = arena.folder.path().join(format!("{kind}-{compression}"));
            run("skopeo", &["copy", "--insecure-policy", &image, &format!("dir:{}", copy.display())]);
        }
    }
}

#[tokio::test]
async fn umoci_unpacks_a_layout_to_the_same_files() {
    for snapshotter in [SnapshotterChoice::Auto, SnapshotterChoice::Native] {
        let Some(arena) = arena(snapshotter) else { return };
        let source = arena.source();
        arena.export("oci", &[("tar", "false"), ("name", "app:1")], &source).await.unwrap();
        let bundle = arena.folder.path().join("bundle");
        let image = format!("{}:1", arena.root().display());
        if run("umoci", &["unpack", "--image", &image, bundle.to_str().unwrap()]).is_none() {
            return;
        }
        let root = bundle.join("rootfs");
        assert_eq!(std::fs::read_to_string(root.join("bin/tool")).unwrap(), "#!/bin/sh\n");
        assert!(!root.join("gone").exists());
        assert_eq!(std::fs::metadata(root.join("etc/c")).unwrap().len(), 100_000);
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(root.join("etc/c")).unwrap().nlink(), 2);
        assert_eq!(std::fs::read_link(root.join("link")).unwrap().to_str(), Some("bin/tool"));
    }
}

#[tokio::test]
async fn archives_of_equal_images_are_equal() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let source = arena.source();
    let mut files = Vec::new();
    for _ in 0..2 {
        arena.export("docker", &[("name", "app"), ("source-date-epoch", "1000")], &source).await.unwrap();
        files.push(std::fs::read(arena.file()).unwrap());
    }
    assert!(files[0] == files[1]);
    let names = run("tar", &["tf", arena.file().to_str().unwrap()]).unwrap();
    let names: Vec<&str> = names.lines().collect();
    assert!(names.is_sorted(), "{names:?}");
    for name in ["index.json", "manifest.json", "oci-layout", "blobs/sha256/"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn several_platforms_make_an_index() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let tree = arena.tree();
    let arm = CONFIG.replace("amd64", "arm64");
    let images = vec![
        PlatformImage::new("linux/amd64", Some(tree.clone()), CONFIG),
        PlatformImage::new("linux/arm64", Some(tree), arm),
    ];
    let source = ExportSource { images, multi_platform: true, ..Default::default() };
    let options = [
        ("annotation-index.i", "1"),
        ("annotation[linux/arm64].m", "2"),
        ("tar", "false"),
        ("name", "app:1"),
    ];
    let response = arena.export("oci", &options, &source).await.unwrap();
    assert!(!response.metadata.contains_key("containerimage.config.digest"));
    let digest = &response.metadata["containerimage.digest"];
    let raw = std::fs::read(arena.root().join("blobs/sha256").join(&digest[7..])).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(index["annotations"]["i"], "1");
    assert_eq!(index["manifests"][1]["platform"]["architecture"], "arm64");
    let image = format!("oci:{}:1", arena.root().display());
    if let Some(told) = run("skopeo", &["inspect", "--override-arch", "arm64", "--raw", "--config", &image]) {
        assert!(told.contains(r#""architecture":"arm64""#), "{told}");
    }
    let error = arena.export("docker", &[], &source).await.unwrap_err();
    assert_eq!(error.to_string(), "docker exporter does not currently support exporting manifest lists");
    let unknown = arena.export("oci", &[("annotation[linux/s390x].k", "v")], &source).await.unwrap_err();
    assert_eq!(unknown.to_string(), "invalid annotation: no platform linux/s390x found in source");
}

#[tokio::test]
async fn an_image_without_layers_is_an_image() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let image = PlatformImage::new("", None, CONFIG);
    let source = ExportSource { images: vec![image], ..Default::default() };
    arena.export("docker", &[("name", "empty:1")], &source).await.unwrap();
    let image = format!("docker-archive:{}", arena.file().display());
    if let Some(told) = run("skopeo", &["inspect", "--config", &image]) {
        assert!(told.contains("/bin/tool"));
    }
    // No result at all is an empty image of this platform.
    arena.export("oci", &[], &ExportSource::default()).await.unwrap();
}
