//! Layouts of this machine, good and bad.

use std::path::Path;
use std::sync::Arc;

use slipway_fakes::registry::PushedImage;
use slipway_fakes::{FakeRegistry, Options};
use slipway_model::{Digest, Platform};
use slipway_store::{Durability, RecordType, Store, StoreOptions};

use super::*;
use crate::source::image::{ImageRequest, ImageSource, Pinned, Silent};

fn linux() -> Platform {
    Platform::new("linux", "amd64", "")
}

/// A layout with one image, tagged `v1`; made by way of the fake registry, which knows how.
async fn layout(at: &Path) -> PushedImage {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let image = registry.put_image("app", "v1", &linux(), &[&[("a", b"1")], &[("b", b"2")]]).unwrap();
    let blobs = at.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let write = |digest: &Digest, bytes: &[u8]| std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
    for digest in image.layers.iter().chain([&image.config]) {
        write(digest, &registry.blob("app", digest).unwrap());
    }
    let (media_type, manifest) = registry.manifest("app", "v1").unwrap();
    write(&image.manifest, &manifest);
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": media_type, "digest": image.manifest, "size": manifest.len(),
        "annotations": { REFERENCE_NAME: "v1" },
    }]});
    std::fs::write(at.join("index.json"), index.to_string()).unwrap();
    image
}

struct Bench {
    source: ImageSource,
    layout: tempfile::TempDir,
    image: PushedImage,
    _root: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let (root, layout_root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = StoreOptions { durability: Durability::Volatile, ..StoreOptions::default() };
        let source = ImageSource::new(Store::open(root.path(), options).unwrap()).unwrap();
        let image = layout(layout_root.path()).await;
        Self { source, layout: layout_root, image, _root: root }
    }

    fn origin(&self, reference: &str) -> Arc<dyn Origin> {
        let layout = DirectoryLayout::open(self.layout.path()).unwrap();
        Arc::new(LayoutOrigin { layout, reference: reference.parse().unwrap() })
    }

    async fn pin(&self, reference: &str) -> Result<Pinned, Error> {
        self.source.pin(&*self.origin(reference), &ImageRequest::new(linux())).await
    }

    async fn fetch(&self, pinned: &Pinned) -> Result<usize, Error> {
        let origin = self.origin("example/store:v1");
        let fetched = self.source.fetch(origin, pinned, RecordType::Regular, Arc::new(Silent)).await?;
        Ok(fetched.expect("it has layers").depth())
    }
}

#[tokio::test]
async fn by_tag_and_by_digest() {
    let bench = Bench::new().await;
    let digest = format!("example/store@{}", bench.image.manifest);
    for reference in ["example/store:v1", &digest] {
        let pinned = bench.pin(reference).await.unwrap();
        assert_eq!(pinned.root.digest.0, bench.image.manifest);
        assert_eq!(bench.fetch(&pinned).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let bench = Bench::new().await;
    let error = bench.pin("example/store:v2").await.unwrap_err();
    assert!(
        matches!(&error, Error::NotInLayout { .. }) && error.to_string().contains("no tag v2"),
        "{error}"
    );
    let other = format!("example/store@{}", Digest::of("other"));
    assert!(matches!(bench.pin(&other).await, Err(Error::NotInLayout { .. })));
    let layer = format!("example/store@{}", bench.image.layers[0]);
    assert!(matches!(bench.pin(&layer).await, Err(Error::NotInLayout { .. })));
    std::fs::remove_file(bench.layout.path().join("index.json")).unwrap();
    let error = bench.pin("example/store:v1").await.unwrap_err();
    assert!(error.to_string().contains("must have a digest"), "{error}");
}

/// A layout comes from a client: it is a stranger.
#[tokio::test]
async fn blobs_are_verified_and_stay_inside_the_layout() {
    let bench = Bench::new().await;
    let blob = |digest: &Digest| bench.layout.path().join("blobs/sha256").join(digest.hex());
    let pinned = bench.pin("example/store:v1").await.unwrap();
    let layer = blob(&bench.image.layers[1]);
    let mut bytes = std::fs::read(&layer).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&layer, bytes).unwrap();
    assert!(matches!(bench.fetch(&pinned).await, Err(Error::Layer { .. })));

    // A blob that is a symlink to a file of the host is not that file.
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), "a secret").unwrap();
    let secret = Digest::of("a secret");
    std::os::unix::fs::symlink(outside.path(), blob(&secret)).unwrap();
    let layout = DirectoryLayout::open(bench.layout.path()).unwrap();
    let read = layout.read_blob(&BlobDigest(secret), 0).await;
    assert_eq!(read.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
}

#[tokio::test]
async fn a_manifest_that_is_not_its_digest_is_refused() {
    let bench = Bench::new().await;
    let path = bench.layout.path().join("blobs/sha256").join(bench.image.manifest.hex());
    let text = std::fs::read_to_string(&path).unwrap() + "\n";
    std::fs::write(&path, text).unwrap();
    let error = bench.pin("example/store:v1").await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}
