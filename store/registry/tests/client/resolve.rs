//! From names to manifests, at registries good and bad.

use crate::support::{anonymous, manifest, options, reference};
use slipway_fakes::{FakeRegistry, Fault, FaultKind, Options};
use slipway_model::media_type::{DOCKER_MANIFEST, DOCKER_SCHEMA1, OCI_INDEX, OCI_MANIFEST};
use slipway_model::{Digest, Platform};
use slipway_registry::{Error, HostConfig};

fn linux(architecture: &str) -> Platform {
    Platform::new("linux", architecture, "")
}

#[tokio::test]
async fn a_tag_and_its_digest_name_the_same_bytes() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let image = registry.put_image("team/app", "v1", &linux("amd64"), &[&[("a", b"1")]]).unwrap();
    let client = anonymous();
    let tagged = reference(&registry, "team/app:v1");
    let head = client.head(&tagged).await.unwrap();
    assert_eq!((head.digest.0, head.media_type.as_str()), (image.manifest, OCI_MANIFEST));
    assert_eq!(registry.count("GET", "/manifests/"), 0);
    let by_tag = client.resolve(&tagged).await.unwrap();
    let by_digest = client.resolve(&tagged.with_digest(head.digest)).await.unwrap();
    assert_eq!(by_tag.descriptor, head);
    assert_eq!(by_tag.bytes, by_digest.bytes);
    assert!(
        registry.log().iter().all(|l| l.user_agent.as_deref().is_some_and(|a| a.starts_with("slipway/")))
    );
}

#[tokio::test]
async fn a_registry_that_hides_digests_is_asked_for_the_bytes() {
    let registry = FakeRegistry::start(Options { hide_digests: true, ..Options::default() }).await.unwrap();
    let image = registry.put_image("app", "v1", &linux("amd64"), &[]).unwrap();
    let head = anonymous().head(&reference(&registry, "app:v1")).await.unwrap();
    assert_eq!(head.digest.0, image.manifest);
    assert_eq!(registry.count("GET", "/manifests/"), 1);
}

#[tokio::test]
async fn a_platform_is_chosen_and_a_missing_one_is_told() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let amd64 = registry.put_image("app", "a", &linux("amd64"), &[&[("a", b"1")]]).unwrap();
    let arm64 = registry.put_image("app", "b", &linux("arm64"), &[&[("a", b"2")]]).unwrap();
    let index =
        registry.put_index("app", "latest", &[(linux("amd64"), &amd64), (linux("arm64"), &arm64)]).unwrap();
    let client = anonymous();
    let app = reference(&registry, "app");
    let found = client.resolve_platform(&app, &linux("arm64")).await.unwrap();
    assert_eq!(found.descriptor.digest.0, arm64.manifest);
    assert_eq!(
        (found.root.descriptor.digest.0, found.root.descriptor.media_type.as_str()),
        (index, OCI_INDEX)
    );
    assert_eq!(Digest::of(&found.config), arm64.config);
    let missing = client.resolve_platform(&app, &linux("s390x")).await.unwrap_err().to_string();
    assert!(missing.contains("linux/s390x") && missing.contains("linux/amd64, linux/arm64"), "{missing}");
    // A lone image is taken as it is.
    let lone = client.resolve_platform(&reference(&registry, "app:a"), &linux("s390x")).await.unwrap();
    assert_eq!(lone.descriptor.digest.0, amd64.manifest);
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let put = |tag: &str, media_type: &str, json: &str| {
        registry.put_manifest("app", tag, media_type, json.to_owned().into_bytes());
    };
    put("one", DOCKER_SCHEMA1, r#"{"schemaVersion":1,"fsLayers":[]}"#);
    put("one-disguised", "application/json", r#"{"schemaVersion":1}"#);
    put("both", OCI_MANIFEST, r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#);
    put("wrong", OCI_MANIFEST, r#"{"schemaVersion":2,"manifests":[]}"#);
    put("text", "text/html", "<html>");
    put("nothing", "application/json", "{}");
    let client = anonymous();
    let resolve =
        async |tag: &str| client.resolve(&reference(&registry, &format!("app:{tag}"))).await.unwrap_err();
    assert!(matches!(resolve("one").await, Error::Schema1 { .. }));
    assert!(matches!(resolve("one-disguised").await, Error::Schema1 { .. }));
    for tag in ["both", "wrong", "text", "nothing"] {
        assert!(matches!(resolve(tag).await, Error::Manifest { .. }), "{tag}");
    }
}

#[tokio::test]
async fn a_type_that_is_not_told_is_read_from_the_body() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let bytes = String::from_utf8(manifest(b"{}", b"")).unwrap().replace(OCI_MANIFEST, DOCKER_MANIFEST);
    registry.put_manifest("app", "v1", "application/octet-stream", bytes.into_bytes());
    let found = anonymous().resolve(&reference(&registry, "app:v1")).await.unwrap();
    assert_eq!(found.descriptor.media_type, DOCKER_MANIFEST);
}

#[tokio::test]
async fn large_and_false_manifests_are_refused() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    let image = registry.put_image("app", "v1", &linux("amd64"), &[]).unwrap();
    let padding = format!(r#"{{"schemaVersion":2,"layers":[],"config":"{}"}}"#, " ".repeat(4 << 20));
    registry.put_manifest("app", "large", OCI_MANIFEST, padding.into_bytes());
    let client = anonymous();
    let large = client.resolve(&reference(&registry, "app:large")).await;
    assert!(matches!(large, Err(Error::TooLarge { .. })), "{large:?}");
    registry.fail(Fault::new("GET", "/manifests/", 2, FaultKind::Corrupt));
    let by_tag = client.resolve(&reference(&registry, "app:v1")).await;
    assert!(by_tag.is_err(), "{by_tag:?}");
    let canonical = reference(&registry, "app").with_digest(slipway_model::BlobDigest(image.manifest));
    let by_digest = client.resolve(&canonical).await;
    assert!(matches!(by_digest, Err(Error::Corrupt { .. })), "{by_digest:?}");
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_lasting_ones_are_not() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    registry.put_image("app", "v1", &linux("amd64"), &[]).unwrap();
    let (client, app) = (anonymous(), reference(&registry, "app:v1"));
    registry.fail(Fault::status("GET", "/manifests/", 2, 503));
    registry.fail(Fault::new("GET", "/manifests/", 1, FaultKind::DropRequest));
    registry.fail(Fault::new(
        "GET",
        "/manifests/",
        1,
        FaultKind::Status { status: 429, retry_after: Some(0) },
    ));
    client.resolve(&app).await.unwrap();
    assert_eq!(registry.count("GET", "/manifests/"), 5);

    registry.clear_log();
    registry.fail(Fault::status("GET", "/manifests/", 5, 500));
    let error = client.resolve(&app).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("UNKNOWN: injected fault"), "{error}");
    assert_eq!(registry.count("GET", "/manifests/"), 5);

    registry.clear_log();
    let error = client.resolve(&reference(&registry, "app:none")).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("MANIFEST_UNKNOWN"), "{error}");
    assert!(
        error.to_string().contains(&registry.host()) && error.to_string().contains("manifest none"),
        "{error}"
    );
    assert_eq!(registry.count("GET", "/manifests/"), 1);
}

#[tokio::test]
async fn nobody_there_is_unreachable_at_once() {
    let gone = FakeRegistry::start(Options::default()).await.unwrap();
    let app = reference(&gone, "app:v1");
    drop(gone);
    tokio::task::yield_now().await;
    let error = anonymous().resolve(&app).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { transient: false, .. }), "{error:?}");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_told_in_words_that_people_search_for() {
    let error = anonymous().resolve(&"nobody.invalid:5000/app:v1".parse().unwrap()).await.unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let told: Vec<String> = causes.map(ToString::to_string).collect();
    assert!(told.iter().any(|told| told == "dial tcp: lookup nobody.invalid: no such host"), "{told:?}");
}

#[tokio::test]
async fn silence_is_given_up() {
    let registry = FakeRegistry::start(Options::default()).await.unwrap();
    registry.put_image("app", "v1", &linux("amd64"), &[]).unwrap();
    let pause = std::time::Duration::from_secs(600);
    registry.fail(Fault::new("GET", "/manifests/", 1, FaultKind::Slow { piece: 1, pause }));
    let mut options = options(std::sync::Arc::new(slipway_registry::Anonymous));
    options.retry.silence = std::time::Duration::from_millis(50);
    // The first answer never comes to an end; the second does.
    slipway_registry::Client::new(options).resolve(&reference(&registry, "app:v1")).await.unwrap();
    assert_eq!(registry.count("GET", "/manifests/"), 2);
}

#[tokio::test]
async fn mirrors_are_asked_first_and_passed_over_when_they_fail() {
    let origin = FakeRegistry::start(Options::default()).await.unwrap();
    let mirror = FakeRegistry::start(Options { prefix: "proxy".into(), ..Options::default() }).await.unwrap();
    let image = origin.put_image("app", "v1", &linux("amd64"), &[&[("a", b"1")]]).unwrap();
    let client = anonymous();
    let mirrors = vec!["127.0.0.1:1".into(), format!("{}/proxy", mirror.host())];
    let client = client.with_host(origin.host(), HostConfig { mirrors, ..HostConfig::default() });
    let app = reference(&origin, "app:v1");

    let found = client.resolve_platform(&app, &linux("amd64")).await.unwrap();
    assert_eq!(found.descriptor.digest.0, image.manifest);
    assert!(mirror.count("GET", "/v2/proxy/app/manifests/v1") == 1);
    assert!(mirror.log()[0].query.contains(&format!("ns={}", origin.host().replace(':', "%3A"))));

    mirror.put_image("app", "v1", &linux("amd64"), &[&[("a", b"1")]]).unwrap();
    origin.clear_log();
    client.resolve_platform(&app, &linux("amd64")).await.unwrap();
    assert!(origin.log().is_empty());
}
