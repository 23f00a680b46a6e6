//! `image`: names and registries.

use std::sync::Arc;

use slipway_exporter::Context;
use slipway_exporter::images::Images;
use slipway_fakes::FakeRegistry;
use slipway_model::{Reference, media_type};
use slipway_registry::{Anonymous, Client, ClientOptions};
use slipway_store::SnapshotterChoice;

use crate::support::*;

fn context(arena: &Arena) -> Context {
    let registry = Some(Client::new(ClientOptions::new(Arc::new(Anonymous))));
    Context { registry, images: Some(Images::open(&arena.store, None).unwrap()), ..arena.context() }
}

// The registry answers while skopeo is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_image_is_complete_and_is_not_sent_twice() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let registry = FakeRegistry::start(Default::default()).await.unwrap();
    let source = arena.source();
    let name = format!("{}/team/app:1", registry.host());
    let options = [("name", name.as_str()), ("push", "true"), ("oci-mediatypes", "false")];
    let context = context(&arena);
    let response = arena.export_in(&context, "image", &options, &source).await.unwrap();
    assert_eq!(response.metadata["image.name"], name);
    let (media_type, bytes) = registry.manifest("team/app", "1").unwrap();
    assert_eq!(media_type, slipway_model::media_type::DOCKER_MANIFEST);
    let manifest: slipway_model::Manifest = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(manifest.config.digest.to_string(), response.metadata["containerimage.config.digest"]);
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        assert_eq!(registry.blob("team/app", &blob.digest.0).unwrap().len() as u64, blob.size);
    }
    let uploads = registry.count("PUT", "/blobs/uploads/");
    arena.export_in(&context, "image", &options, &source).await.unwrap();
    assert_eq!(registry.count("PUT", "/blobs/uploads/"), uploads);

    let reference: Reference = name.parse().unwrap();
    let image = format!("docker://{reference}");
    if let Some(told) = run("skopeo", &["inspect", "--tls-verify=false", "--config", &image]) {
        assert!(told.contains("/bin/tool"));
    }
    let by_digest = format!("{}/team/nameless", registry.host());
    let options = [("name", by_digest.as_str()), ("push", "true"), ("push-by-digest", "true")];
    let response = arena.export_in(&context, "image", &options, &source).await.unwrap();
    assert!(registry.manifest("team/nameless", &response.metadata["containerimage.digest"]).is_some());
    assert!(registry.manifest("team/nameless", "latest").is_none());
}

#[tokio::test]
async fn a_layer_that_is_to_be_had_elsewhere_is_pushed_only_as_the_images_own() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let registry = FakeRegistry::start(Default::default()).await.unwrap();
    let (context, source) = (context(&arena), arena.source());
    let tree = source.images[0].reference.as_ref().unwrap();
    tree.layers(&Default::default()).unwrap();
    let base = tree.chain().remove(0);
    let elsewhere = vec!["https://elsewhere/layer".to_owned()];
    for blob in base.layer_facts().unwrap().blobs {
        base.add_layer_blob(&slipway_store::LayerBlob { urls: elsewhere.clone(), ..blob }).unwrap();
    }
    for (prefer, oci, expected) in [
        ("true", "false", media_type::DOCKER_FOREIGN_LAYER_GZIP),
        ("true", "true", media_type::OCI_FOREIGN_LAYER_GZIP),
        ("false", "true", media_type::OCI_LAYER_GZIP),
    ] {
        let repository = format!("team/{prefer}-{oci}");
        let name = format!("{}/{repository}", registry.host());
        let options = [
            ("name", name.as_str()),
            ("push", "true"),
            ("prefer-nondist-layers", prefer),
            ("oci-mediatypes", oci),
        ];
        arena.export_in(&context, "image", &options, &source).await.unwrap();
        let (_, bytes) = registry.manifest(&repository, "latest").unwrap();
        let manifest: slipway_model::Manifest = serde_json::from_slice(&bytes).unwrap();
        let layer = &manifest.layers[0];
        assert_eq!(layer.media_type, expected);
        let is_own = prefer == "false";
        assert_eq!(layer.urls, if is_own { Vec::new() } else { elsewhere.clone() });
        assert_eq!(registry.blob(&repository, &layer.digest.0).is_some(), is_own, "{repository}");
        assert!(registry.blob(&repository, &manifest.layers[1].digest.0).is_some());
    }
}

#[tokio::test]
async fn names_are_kept_and_move() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let context = context(&arena);
    let source = arena.source();
    let options = [("name", "app:1"), ("name-canonical", "true"), ("dangling-name-prefix", "<none>")];
    let response = arena.export_in(&context, "image", &options, &source).await.unwrap();
    let digest = &response.metadata["containerimage.digest"];
    let images = context.images.clone().unwrap();
    let expected = [format!("<none>@{digest}"), "app:1".to_owned(), format!("app:1@{digest}")];
    assert_eq!(images.names().unwrap(), expected);
    let dated = arena
        .export_in(&context, "image", &[("name", "app:1"), ("source-date-epoch", "7")], &source)
        .await
        .unwrap();
    let named = images.get("app:1").unwrap().unwrap();
    assert_eq!(named.digest.to_string(), dated.metadata["containerimage.digest"]);
    assert_ne!(&named.digest.to_string(), digest);
    // Opened again, they are still there.
    assert_eq!(Images::open(&arena.store, None).unwrap().names().unwrap().len(), 3);
    images.remove("app:1").unwrap();
    assert!(images.get("app:1").unwrap().is_none());
}

#[tokio::test]
async fn a_star_takes_the_frontends_name() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let context = context(&arena);
    let mut source = arena.source();
    source.metadata.insert("image.name".into(), "found/name:tag".into());
    let response = arena.export_in(&context, "image", &[("name", "*")], &source).await.unwrap();
    assert_eq!(response.metadata["image.name"], "found/name:tag");
}

#[tokio::test]
async fn without_a_clock_the_same_image_has_the_same_digest() {
    let Some(arena) = arena(SnapshotterChoice::Auto) else { return };
    let (one, two) = (arena.source(), arena.source());
    // The files were made at different times: only rewritten they are the same.
    let options = [("source-date-epoch", "1000000000"), ("rewrite-timestamp", "true")];
    let one = arena.export("image", &options, &one).await.unwrap();
    let two = arena.export("image", &options, &two).await.unwrap();
    assert_eq!(one.metadata, two.metadata);
}
