//! Blobs and manifests to a registry, by the cheapest way.

use std::io;
use std::sync::Arc;

use crate::support::{anonymous, blob, logged_in, manifest, noise, reference};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use slipway_fakes::{Auth, FakeRegistry, Fault, FaultKind, Options};
use slipway_model::media_type::OCI_MANIFEST;
use slipway_model::{BlobDigest, Digest};
use slipway_registry::{BlobReader, BlobSource, Client, Error, Pushed};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::StreamReader;

async fn push(
    client: &Client,
    registry: &FakeRegistry,
    content: &[u8],
    from: &[&str],
) -> Result<Pushed, Error> {
    let bytes = Bytes::copy_from_slice(content);
    let from: Vec<_> = from.iter().map(|from| (*from).to_owned()).collect();
    client.push_blob(&reference(registry, "app:v1"), &blob(content), Arc::new(bytes), &from, None).await
}

#[tokio::test]
async fn what_is_there_is_not_sent() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let (client, content) = (anonymous(), noise(100_000));
    assert_eq!(push(&client, &registry, &content, &[]).await.unwrap(), Pushed::Uploaded);
    assert!(registry.blob("app", &Digest::of(&content)).unwrap() == content);
    assert_eq!((registry.count("POST", ""), registry.count("PUT", "")), (1, 1));
    registry.clear_log();
    assert_eq!(push(&client, &registry, &content, &["other"]).await.unwrap(), Pushed::Existed);
    assert_eq!(registry.log().len(), 1);
    assert_eq!(push(&client, &registry, b"", &[]).await.unwrap(), Pushed::Uploaded);
}

#[tokio::test]
async fn what_a_neighbour_has_is_mounted() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let (client, content) = (anonymous(), noise(1000));
    registry.put_blob("base", content.clone());
    let pushed = push(&client, &registry, &content, &["app", "nobody", "base"]).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted { from: "base".into() });
    assert_eq!(registry.count("PUT", ""), 0);
    assert_eq!(registry.open_uploads(), 0);
    assert!(registry.blob("app", &Digest::of(&content)).is_some());
}

#[tokio::test]
async fn a_mount_that_fails_becomes_an_upload() {
    let options = Options { refuse_mounts: true, ..Options::default() };
    let registry = FakeRegistry::start(options).await.unwrap();
    let (client, content) = (anonymous(), noise(1000));
    registry.put_blob("base", content.clone());
    assert_eq!(push(&client, &registry, &content, &["base"]).await.unwrap(), Pushed::Uploaded);
    // The session that the mount request opened is the one that was used.
    assert_eq!((registry.count("POST", ""), registry.open_uploads()), (1, 0));
}

#[tokio::test]
async fn a_mount_without_the_right_becomes_an_upload() {
    let mut auth = Auth::bearer("me", "secret");
    if let Auth::Bearer { forbidden, .. } = &mut auth {
        forbidden.push("private".into());
    }
    let registry = FakeRegistry::start(Options { auth, ..Options::default() }).await.unwrap();
    let content = noise(1000);
    registry.put_blob("private", content.clone());
    let (client, _) = logged_in("me", "secret");
    assert_eq!(push(&client, &registry, &content, &["private"]).await.unwrap(), Pushed::Uploaded);
}

#[tokio::test]
async fn a_broken_upload_begins_again() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    registry.fail(Fault::new("PUT", "/uploads/", 1, FaultKind::DropUploadAfter(300_000)));
    registry.fail(Fault::status("PUT", "/uploads/", 1, 503));
    registry.fail(Fault::status("POST", "/uploads/", 1, 429));
    let content = noise(1_000_000);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let progress = Arc::new({
        let sent = sent.clone();
        move |bytes| sent.lock().push(bytes)
    });
    let source = Arc::new(Bytes::from(content.clone()));
    let app = reference(&registry, "app:v1");
    anonymous().push_blob(&app, &blob(&content), source, &[], Some(progress)).await.unwrap();
    assert!(registry.blob("app", &Digest::of(&content)).unwrap() == content);
    assert_eq!(registry.count("PUT", "/uploads/"), 3);
    let sent = sent.lock();
    assert_eq!(sent.last(), Some(&1_000_000));
    assert!(sent.windows(2).any(|pair| pair[1] < pair[0]), "progress tells of the new beginning");
}

#[tokio::test]
async fn large_bodies_that_are_refused_go_in_chunks() {
    let options = Options { largest_body: Some(1 << 20), least_chunk: Some(70_000), ..Options::default() };
    let registry = FakeRegistry::start(options).await.unwrap();
    registry.fail(Fault::new("PATCH", "/uploads/", 1, FaultKind::DropUploadAfter(100_000)));
    registry.fail(Fault::status("PATCH", "/uploads/", 1, 502));
    let content = noise(3_000_000);
    assert_eq!(push(&anonymous(), &registry, &content, &[]).await.unwrap(), Pushed::Uploaded);
    assert!(registry.blob("app", &Digest::of(&content)).unwrap() == content);
    assert!(registry.count("PATCH", "/uploads/") > 3);
    assert_eq!(registry.open_uploads(), 0);
}

#[tokio::test]
async fn refusals_are_final_and_leave_nothing_behind() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let bytes = Bytes::from_static(b"not what the digest says");
    let wrong = blob(b"something of the same length").digest;
    let mut descriptor = blob(&bytes);
    descriptor.digest = wrong;
    let app = reference(&registry, "app:v1");
    let error = anonymous().push_blob(&app, &descriptor, Arc::new(bytes), &[], None).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { answer, .. } if answer.has_code("DIGEST_INVALID")),
        "{error:?}"
    );
    assert_eq!(registry.count("PUT", ""), 1);
    assert_eq!(registry.open_uploads(), 0);
}

/// Fails in the middle, or ends early.
struct Broken(Option<io::ErrorKind>);

#[async_trait]
impl BlobSource for Broken {
    async fn open(&self, _offset: u64) -> io::Result<BlobReader> {
        let start = io::Cursor::new(vec![0; 10]);
        let Some(kind) = self.0 else { return Ok(Box::pin(start)) };
        let failure: [io::Result<Bytes>; 1] = [Err(kind.into())];
        Ok(Box::pin(start.chain(StreamReader::new(futures::stream::iter(failure)))))
    }
}

#[tokio::test]
async fn a_source_that_fails_is_not_the_registry_s_fault() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    for (broken, kind) in [
        (Broken(Some(io::ErrorKind::PermissionDenied)), io::ErrorKind::PermissionDenied),
        (Broken(None), io::ErrorKind::UnexpectedEof),
    ] {
        let app = reference(&registry, "app:v1");
        let error =
            anonymous().push_blob(&app, &blob(&noise(100)), Arc::new(broken), &[], None).await.unwrap_err();
        assert!(matches!(&error, Error::Source { source, .. } if source.kind() == kind), "{error:?}");
    }
    assert_eq!(registry.open_uploads(), 0);
}

#[tokio::test]
async fn manifests_come_after_their_blobs() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let (client, app) = (anonymous(), reference(&registry, "app:v1"));
    let bytes = Bytes::from(manifest(b"{}", b"layer"));
    let error = client.push_manifest(&app, OCI_MANIFEST, bytes.clone()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { answer, .. } if answer.has_code("MANIFEST_BLOB_UNKNOWN")),
        "{error:?}"
    );
    for content in [&b"{}"[..], b"layer"] {
        push(&client, &registry, content, &[]).await.unwrap();
    }
    let pushed = client.push_manifest(&app, OCI_MANIFEST, bytes.clone()).await.unwrap();
    assert_eq!(registry.manifest("app", "v1"), Some((OCI_MANIFEST.into(), bytes.clone())));
    // By digest only, and never under a digest that is not its own.
    let untagged = reference(&registry, "app").with_digest(pushed.digest);
    client.push_manifest(&untagged, OCI_MANIFEST, bytes.clone()).await.unwrap();
    let other = untagged.with_digest(BlobDigest(Digest::of("other")));
    assert!(matches!(client.push_manifest(&other, OCI_MANIFEST, bytes).await, Err(Error::Corrupt { .. })));
}

/// Callers put these calls into tasks.
#[test]
fn calls_may_move_between_threads() {
    fn check<T: Send>(_: T) {}
    let (client, app) = (anonymous(), "127.0.0.1:1/app".parse::<slipway_model::Reference>().unwrap());
    let descriptor = blob(b"");
    check(client.head(&app));
    check(client.resolve(&app));
    check(client.resolve_platform(&app, &slipway_model::Platform::host()));
    check(client.pull_blob(&app, &descriptor, 0));
    check(client.push_blob(&app, &descriptor, Arc::new(Bytes::new()), &[], None));
    check(client.push_manifest(&app, "", Bytes::new()));
}
