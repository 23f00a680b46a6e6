//! HTTPS: authorities, insecure registries, HTTP/2, and the way back to plain HTTP.

use crate::support::{anonymous, reference};
use slipway_fakes::registry::CERTIFICATE_AUTHORITY;
use slipway_fakes::{FakeRegistry, Options};
use slipway_model::Platform;
use slipway_registry::{Error, HostConfig};

async fn registry(tls: bool) -> FakeRegistry {
    let registry = FakeRegistry::start(Options { tls, ..Options::default() }).await.unwrap();
    registry.put_image("app", "v1", &Platform::new("linux", "amd64", ""), &[]).unwrap();
    registry
}

fn https() -> HostConfig {
    HostConfig { plain_http: Some(false), ..HostConfig::default() }
}

async fn resolve(registry: &FakeRegistry, config: HostConfig) -> Result<(), Error> {
    let client = anonymous().with_host(registry.host(), config);
    client.resolve(&reference(registry, "app:v1")).await.map(drop)
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let registry = registry(true).await;
    let error = resolve(&registry, https()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { transient: false, .. }), "{error:?}");
    assert!(registry.log().is_empty());
}

#[tokio::test]
async fn an_authority_or_a_folder_of_them_makes_it_trusted_over_http2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    std::fs::write(&file, CERTIFICATE_AUTHORITY).unwrap();
    let registry = registry(true).await;
    resolve(&registry, HostConfig { authorities: vec![file], ..https() }).await.unwrap();
    resolve(&registry, HostConfig { tls_folders: vec![folder.path().into()], ..https() }).await.unwrap();
    assert!(registry.log().iter().all(|l| l.version == "HTTP/2.0"), "{:?}", registry.log());
}

#[tokio::test]
async fn insecure_takes_any_certificate_and_falls_back_where_plain_is_allowed() {
    let encrypted = registry(true).await;
    resolve(&encrypted, HostConfig { insecure: true, ..https() }).await.unwrap();
    resolve(&encrypted, HostConfig::insecure()).await.unwrap();
    let plain = registry(false).await;
    resolve(&plain, HostConfig::insecure()).await.unwrap();
    assert!(resolve(&plain, HostConfig { insecure: true, ..https() }).await.is_err());
}

#[tokio::test]
async fn a_missing_authority_file_is_named() {
    let registry = registry(true).await;
    let config = HostConfig { authorities: vec!["/nowhere/ca.pem".into()], ..https() };
    let error = resolve(&registry, config).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}
