//! Blobs on their way: verified, resumed, never quietly wrong.

use std::time::Duration;

use crate::support::{anonymous, blob, noise, reference};
use futures::StreamExt as _;
use slipway_fakes::{FakeRegistry, Fault, FaultKind, Options};
use slipway_model::{BlobDigest, Digest};
use slipway_registry::{Error, HostConfig};
use tokio::io::AsyncReadExt as _;

async fn with_blob(options: Options, content: &[u8]) -> FakeRegistry {
    let registry = FakeRegistry::start(options).await.unwrap();
    registry.put_blob("app", content.to_vec());
    registry
}

#[tokio::test]
async fn whole_and_from_an_offset() {
    let content = noise(300_000);
    let registry = with_blob(Options::default(), &content).await;
    let (client, app) = (anonymous(), reference(&registry, "app"));
    for offset in [0, 1, 299_999, 300_000] {
        let stream = client.pull_blob(&app, &blob(&content), offset).await.unwrap();
        let mut read = Vec::new();
        stream.into_reader().read_to_end(&mut read).await.unwrap();
        assert!(read == content[offset as usize..], "{offset}");
    }
    assert!(matches!(client.pull_blob(&app, &blob(&content), 300_001).await, Err(Error::Length { .. })));
    let empty = client.pull_blob(&app, &blob(b""), 0).await.unwrap().collect().await.unwrap();
    assert!(empty.is_empty());
}

#[tokio::test]
async fn a_dropped_connection_is_resumed_where_it_broke() {
    let content = noise(400_000);
    for ignore_ranges in [false, true] {
        let registry = with_blob(Options { ignore_ranges, ..Options::default() }, &content).await;
        registry.fail(Fault::new("GET", "/blobs/", 2, FaultKind::DropAfter(150_000)));
        let client = anonymous();
        let stream = client.pull_blob(&reference(&registry, "app"), &blob(&content), 0).await.unwrap();
        assert!(stream.collect().await.unwrap() == content);
        let ranges: Vec<_> = registry.log().iter().map(|l| l.range.clone()).collect();
        assert_eq!(ranges.len(), 3, "{ranges:?}");
        assert!(
            ranges[0].is_none() && ranges[1].as_deref().is_some_and(|r| r.starts_with("bytes=")),
            "{ranges:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_always_drops_is_given_up() {
    let content = noise(1000);
    let registry = with_blob(Options::default(), &content).await;
    registry.fail(Fault::new("GET", "/blobs/", 100, FaultKind::DropAfter(0)));
    let stream = anonymous().pull_blob(&reference(&registry, "app"), &blob(&content), 0).await.unwrap();
    assert!(matches!(stream.collect().await, Err(Error::Unreachable { .. })));
    assert_eq!(registry.count("GET", "/blobs/"), 5);
}

#[tokio::test]
async fn wrong_bytes_never_come_to_an_end() {
    let content = noise(100_000);
    let registry = with_blob(Options::default(), &content).await;
    registry.fail(Fault::new("GET", "/blobs/", 1, FaultKind::Corrupt));
    let mut stream = anonymous().pull_blob(&reference(&registry, "app"), &blob(&content), 0).await.unwrap();
    let (mut length, mut failed) = (0, None);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => length += piece.len(),
            Err(error) => failed = Some(error),
        }
    }
    assert!(matches!(failed, Some(Error::Corrupt { .. })), "{failed:?}");
    assert!(length < content.len(), "the last piece is held back");
}

#[tokio::test]
async fn other_sizes_than_promised_are_refused() {
    let content = noise(1000);
    let registry = with_blob(Options::default(), &content).await;
    let (client, app) = (anonymous(), reference(&registry, "app"));
    registry.fail(Fault::new("GET", "/blobs/", 1, FaultKind::Truncate(999)));
    assert!(matches!(
        client.pull_blob(&app, &blob(&content), 0).await,
        Err(Error::Length { actual: 999, .. })
    ));
    let mut short = blob(&content);
    short.size = 10;
    assert!(matches!(client.pull_blob(&app, &short, 0).await, Err(Error::Length { .. })));
}

#[tokio::test]
async fn sha512_is_verified_as_well() {
    let content = noise(1000);
    let registry = with_blob(Options::default(), &content).await;
    let other = "sha512:".to_owned() + &"0".repeat(128);
    let mut descriptor = blob(&content);
    // The fake keeps sha256 only: a foreign URL serves the bytes under another name.
    descriptor.digest = BlobDigest(other.parse().unwrap());
    let path = format!("/v2/app/blobs/{}", Digest::of(&content));
    descriptor.urls = vec![format!("http://{}{path}", registry.host())];
    let stream = anonymous().pull_blob(&reference(&registry, "app"), &descriptor, 0).await.unwrap();
    let error = stream.collect().await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { actual, .. } if actual.algorithm() == "sha512"), "{error:?}");
}

#[tokio::test]
async fn foreign_layers_come_from_their_own_place() {
    let content = noise(1000);
    let (registry, elsewhere) =
        (with_blob(Options::default(), b"").await, with_blob(Options::default(), &content).await);
    let mut descriptor = blob(&content);
    descriptor.urls = vec![format!("http://{}/v2/app/blobs/{}", elsewhere.host(), descriptor.digest)];
    let stream = anonymous().pull_blob(&reference(&registry, "app"), &descriptor, 0).await.unwrap();
    assert!(stream.collect().await.unwrap() == content);
}

#[tokio::test]
async fn another_server_goes_on_where_one_is_given_up() {
    let content = noise(100_000);
    let (origin, mirror) =
        (with_blob(Options::default(), &content).await, with_blob(Options::default(), &content).await);
    mirror.fail(Fault::new("GET", "/blobs/", 1, FaultKind::DropAfter(40_000)));
    mirror.fail(Fault::status("GET", "/blobs/", 100, 404));
    let config = HostConfig { mirrors: vec![mirror.host()], ..HostConfig::default() };
    let client = anonymous().with_host(origin.host(), config);
    let stream = client.pull_blob(&reference(&origin, "app"), &blob(&content), 0).await.unwrap();
    assert!(stream.collect().await.unwrap() == content);
    let asked = origin.log();
    assert!(asked.len() == 1 && asked[0].range.is_some(), "{asked:?}");
}

#[tokio::test]
async fn four_transfers_at_a_time_and_manifests_beside_them() {
    let content = noise(10_000);
    let registry = with_blob(Options::default(), &content).await;
    registry.put_manifest("app", "v1", "application/json", crate::support::manifest(b"{}", &content));
    let (client, app) = (anonymous(), reference(&registry, "app:v1"));
    let slow = FaultKind::Slow { piece: 5_000, pause: Duration::from_secs(600) };
    registry.fail(Fault::new("GET", "/blobs/", 4, slow));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(client.pull_blob(&app, &blob(&content), 0).await.unwrap());
    }
    client.resolve(&app).await.unwrap();
    let fifth = tokio::spawn({
        let (client, app, descriptor) = (client.clone(), app.clone(), blob(&content));
        async move { client.pull_blob(&app, &descriptor, 0).await?.collect().await }
    });
    tokio::task::yield_now().await;
    assert_eq!(registry.count("GET", "/blobs/"), 4);
    held.pop();
    assert!(fifth.await.unwrap().unwrap() == content);
}
