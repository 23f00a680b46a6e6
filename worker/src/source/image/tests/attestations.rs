//! What is said about an image, and who signed that.

use serde_json::json;
use slipway_model::Digest;
use slipway_model::media_type::{OCI_INDEX, OCI_MANIFEST};

use super::*;

#[tokio::test]
async fn attestations_come_with_all_that_verifies_them() {
    let bench = Bench::new().await;
    let image = bench.put("base", "plain", &[&[("a", b"one")]]);
    let statement = |kind: &str| {
        let bytes = json!({ "_type": "https://in-toto.io/Statement/v1", "predicateType": kind }).to_string();
        let (size, digest) = (bytes.len(), bench.registry.put_blob("base", bytes));
        json!({ "mediaType": "application/vnd.in-toto+json", "digest": digest, "size": size,
                "annotations": { "in-toto.io/predicate-type": kind } })
    };
    let empty = bench.registry.put_blob("base", "{}");
    let config =
        json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": empty, "size": 2 });
    let manifest = |layers: &[serde_json::Value]| {
        json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers })
            .to_string()
    };
    let put = |tag: &str, kind: &str, text: String| {
        let size = text.len();
        (bench.registry.put_manifest("base", tag, kind, text), size)
    };
    let (wanted, other) = (statement("wanted"), statement("other"));
    let (attestation, size) = put("att", OCI_MANIFEST, manifest(&[wanted.clone(), other.clone()]));
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        { "mediaType": OCI_MANIFEST, "digest": image.manifest, "size": image.manifest_size, "platform": linux() },
        { "mediaType": OCI_MANIFEST, "digest": attestation, "size": size,
          "platform": { "architecture": "unknown", "os": "unknown" },
          "annotations": { "vnd.docker.reference.type": "attestation-manifest",
                           "vnd.docker.reference.digest": image.manifest } },
    ] });
    let (root, _) = put("1", OCI_INDEX, index.to_string());
    // A registry that does not know the question keeps a list under a tag.
    let bundle = bench.registry.put_blob("base", "signature");
    let layer =
        json!({ "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "digest": bundle, "size": 9 });
    let (signature, size) = put("sig", OCI_MANIFEST, manifest(&[layer]));
    let referrers = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        { "mediaType": OCI_MANIFEST, "digest": Digest::of("no"), "size": 2, "artifactType": "something/else" },
        { "mediaType": OCI_MANIFEST, "digest": signature, "size": size,
          "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json" },
    ] });
    put(&format!("sha256-{}", attestation.hex()), OCI_INDEX, referrers.to_string());

    let origin = bench.origin("base:1");
    let pinned = bench.pin("base:1", ResolveMode::Default).await.unwrap();
    let chain = bench.source.attestations(&*origin, &pinned, &["wanted".to_owned()]).await.unwrap().unwrap();
    assert_eq!(chain.root, root.to_string());
    assert_eq!(chain.image_manifest, image.manifest.to_string());
    assert_eq!(chain.attestation_manifest, attestation.to_string());
    assert_eq!(chain.signature_manifests, [signature.to_string()]);
    let text = |value: &serde_json::Value| value["digest"].as_str().unwrap().to_owned();
    let mut expected = vec![
        root.to_string(),
        attestation.to_string(),
        signature.to_string(),
        bundle.to_string(),
        text(&wanted),
    ];
    expected.sort();
    assert_eq!(chain.blobs.keys().cloned().collect::<Vec<_>>(), expected);
    for (digest, blob) in &chain.blobs {
        assert_eq!(Digest::of(&blob.data).to_string(), *digest);
        assert_eq!(blob.descriptor.as_ref().unwrap().size, blob.data.len() as i64);
    }

    let (origin, pinned) =
        (bench.origin("base:plain"), bench.pin("base:plain", ResolveMode::Default).await.unwrap());
    assert!(bench.source.attestations(&*origin, &pinned, &[]).await.unwrap().is_none(), "it has no index");
}
