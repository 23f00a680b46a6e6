//! Everything that can go wrong, at every kind of place: what arrives is right, or it is an error that says so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slipway_fakes::{Auth, FakeRegistry, Fault, FaultKind, Options};
use slipway_model::Digest;
use slipway_model::media_type::OCI_MANIFEST;
use slipway_registry::{Client, Error, HostConfig, Pushed};

use crate::support::{anonymous, blob, logged_in, manifest, noise, options, reference};

const LENGTH: usize = 600_000;

/// The first and last bytes, and those around what transports cut their pieces at.
const OFFSETS: [usize; 9] = [0, 1, 16_383, 16_384, 65_537, LENGTH / 2, LENGTH - 2, LENGTH - 1, LENGTH];

/// Each of them is over after a while.
fn passing(offset: usize) -> Vec<FaultKind> {
    vec![
        FaultKind::DropRequest,
        FaultKind::DropAfter(offset),
        FaultKind::Status { status: 429, retry_after: Some(0) },
        FaultKind::Status { status: 500, retry_after: None },
        FaultKind::Status { status: 503, retry_after: None },
        FaultKind::Slow { piece: LENGTH / 3, pause: Duration::from_millis(1) },
        FaultKind::ExpireTokens,
    ]
}

fn account() -> (Options, Client) {
    let (client, _) = logged_in("anna", "right");
    (Options { auth: Auth::bearer("anna", "right"), ..Options::default() }, client)
}

#[tokio::test]
async fn passing_faults_cost_a_pull_time_and_nothing_else() {
    let content = noise(LENGTH);
    let (options, client) = account();
    let registry = FakeRegistry::start(options).await.unwrap();
    registry.put_blob("app", content.clone());
    let app = reference(&registry, "app");
    for offset in OFFSETS {
        for kind in passing(offset) {
            let what = format!("{kind:?} at {offset}");
            registry.fail(Fault::new("GET", "/blobs/", 1, kind));
            let pulled = client.pull_blob(&app, &blob(&content), 0).await;
            let pulled = pulled.unwrap_or_else(|error| panic!("{what}: {error}")).collect().await;
            assert!(pulled.unwrap_or_else(|error| panic!("{what}: {error}")) == content, "{what}");
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_cut_or_changed_is_never_whole() {
    let content = noise(LENGTH);
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    registry.put_blob("app", content.clone());
    let app = reference(&registry, "app");
    let kinds = OFFSETS[..8].iter().map(|offset| FaultKind::Truncate(*offset)).chain([FaultKind::Corrupt]);
    for kind in kinds {
        let what = format!("{kind:?}");
        registry.fail(Fault::new("GET", "/blobs/", 1, kind));
        let whole = match anonymous().pull_blob(&app, &blob(&content), 0).await {
            Ok(stream) => stream.collect().await,
            Err(error) => Err(error),
        };
        let error = whole.expect_err(&what);
        assert!(matches!(error, Error::Corrupt { .. } | Error::Length { .. }), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn passing_faults_cost_a_push_time_and_nothing_else() {
    for largest_body in [None, Some(1 << 18)] {
        let (options, client) = account();
        let registry = FakeRegistry::start(Options { largest_body, ..options }).await.unwrap();
        let app = reference(&registry, "app:v1");
        let method = if largest_body.is_some() { "PATCH" } else { "PUT" };
        for (round, offset) in OFFSETS.into_iter().enumerate() {
            let mut kinds = passing(offset);
            kinds.push(FaultKind::DropUploadAfter(offset.min(200_000)));
            for (number, kind) in kinds.into_iter().enumerate() {
                let what = format!("{method}: {kind:?} at {offset}");
                // Another blob each time: one that is there is not sent.
                let mut content = noise(LENGTH);
                content[0] = round as u8;
                content[1] = number as u8;
                registry.fail(Fault::new(method, "/uploads/", 1, kind.clone()));
                registry.fail(Fault::new("POST", "/uploads/", 1, kind));
                let source = Arc::new(Bytes::from(content.clone()));
                let pushed = client.push_blob(&app, &blob(&content), source, &[], None).await;
                assert_eq!(pushed.unwrap_or_else(|error| panic!("{what}: {error}")), Pushed::Uploaded);
                let there = registry.blob("app", &Digest::of(&content));
                assert!(there.is_some_and(|there| there == content), "{what}");
                registry.clear_faults();
            }
        }
    }
}

/// Full, refusing, or out for good: one message, no tag, no upload left open where it can be told.
#[tokio::test]
async fn lasting_faults_end_a_push_and_name_nothing() {
    for (status, named) in [(507, "507"), (500, "500"), (403, "403"), (400, "400")] {
        let registry = FakeRegistry::start(Options::default()).await.unwrap();
        registry.fail(Fault::status("PUT", "/uploads/", 99, status));
        let (layer, config) = (noise(1000), b"{}".to_vec());
        let (client, app) = (anonymous(), reference(&registry, "app:v1"));
        let source = Arc::new(Bytes::from(layer.clone()));
        let error = client.push_blob(&app, &blob(&layer), source, &[], None).await.unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert!(registry.blob("app", &Digest::of(&layer)).is_none());
        assert!(registry.manifest("app", "v1").is_none());
        // A manifest whose blobs are not there is not taken either, and is not a tag.
        registry.clear_faults();
        registry.fail(Fault::status("PUT", "/manifests/", 99, status));
        let manifest = manifest(&config, &layer);
        let pushed = client.push_manifest(&app, OCI_MANIFEST, manifest.into()).await;
        assert!(pushed.unwrap_err().to_string().contains(named));
        assert!(registry.manifest("app", "v1").is_none());
    }
}

/// Who asks for an hour of patience is told no, at once.
#[tokio::test]
async fn patience_has_an_end() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    registry.put_blob("app", noise(10));
    let kind = FaultKind::Status { status: 429, retry_after: Some(3600) };
    registry.fail(Fault::new("GET", "/blobs/", 9, kind));
    let pulled = anonymous().pull_blob(&reference(&registry, "app"), &blob(&noise(10)), 0).await;
    assert!(matches!(pulled.err(), Some(Error::Refused { .. })));
    assert_eq!(registry.count("GET", "/blobs/"), 1);
}

/// A mirror in front, with every fault there is: it costs little, and never the build.
#[tokio::test]
async fn a_bad_mirror_is_passed_over() {
    let content = noise(LENGTH);
    for offset in OFFSETS {
        let kinds = [
            FaultKind::DropRequest,
            FaultKind::DropAfter(offset),
            FaultKind::Status { status: 500, retry_after: None },
            FaultKind::Status { status: 404, retry_after: None },
            FaultKind::Status { status: 401, retry_after: None },
            FaultKind::Status { status: 429, retry_after: Some(3600) },
        ];
        for kind in kinds {
            let what = format!("{kind:?} at {offset}");
            let (origin, mirror) = (
                FakeRegistry::start(Options::default()).await.unwrap(),
                FakeRegistry::start(Options::default()).await.unwrap(),
            );
            for registry in [&origin, &mirror] {
                registry.put_blob("app", content.clone());
            }
            mirror.fail(Fault::new("GET", "/blobs/", 99, kind));
            let mut options = options(Arc::new(slipway_registry::Anonymous));
            let config = HostConfig { mirrors: vec![mirror.host()], ..HostConfig::default() };
            options.hosts.insert(origin.host(), config);
            let client = Client::new(options);
            let pulled = client.pull_blob(&reference(&origin, "app"), &blob(&content), 0).await;
            let pulled = pulled.unwrap_or_else(|error| panic!("{what}: {error}")).collect().await;
            assert!(pulled.unwrap_or_else(|error| panic!("{what}: {error}")) == content, "{what}");
        }
    }
}
