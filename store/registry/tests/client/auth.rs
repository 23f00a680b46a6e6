//! Accounts: basic, tokens, scopes, and whom they are never told to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::support::{Account, anonymous, blob, logged_in, options, reference};
use slipway_fakes::{Auth, FakeRegistry, Options, Origin};
use slipway_model::Platform;
use slipway_registry::{Client, Error};

async fn registry(auth: Auth) -> FakeRegistry {
    let registry = FakeRegistry::start(Options { auth, ..Options::default() }).await.unwrap();
    registry.put_image("app", "v1", &Platform::new("linux", "amd64", ""), &[&[("a", b"1")]]).unwrap();
    registry
}

fn bearer() -> Auth {
    Auth::bearer("me", "secret")
}

#[tokio::test]
async fn basic_auth_is_given_when_asked_for_and_then_from_the_start() {
    let registry = registry(Auth::basic("me", "secret")).await;
    let (client, account) = logged_in("me", "secret");
    let app = reference(&registry, "app:v1");
    client.resolve(&app).await.unwrap();
    client.resolve(&app).await.unwrap();
    assert_eq!(account.asked.load(Ordering::Relaxed), 1);
    let statuses: Vec<_> = registry.log().iter().map(|l| l.status).collect();
    assert_eq!(statuses, [Some(401), Some(200), Some(200)]);
    for client in [anonymous(), logged_in("me", "wrong").0, logged_in("<token>", "secret").0] {
        let error = client.resolve(&app).await.unwrap_err();
        assert!(error.is_unauthorized() && error.to_string().contains("log in to"), "{error}");
    }
}

#[tokio::test]
async fn one_token_serves_one_scope_until_it_is_refused() {
    let registry = registry(bearer()).await;
    let (client, account) = logged_in("me", "secret");
    let app = reference(&registry, "app:v1");
    client.resolve(&app).await.unwrap();
    let many = futures::future::join_all((0..8).map(|_| client.resolve(&app))).await;
    assert!(many.iter().all(Result::is_ok));
    assert_eq!(registry.count("GET", "/token"), 1);
    assert_eq!(account.asked.load(Ordering::Relaxed), 1);

    registry.revoke_tokens();
    client.resolve(&app).await.unwrap();
    assert_eq!(registry.count("GET", "/token"), 2);
}

#[tokio::test]
async fn many_first_requests_fetch_one_token() {
    let registry = registry(bearer()).await;
    let (client, _) = logged_in("me", "secret");
    let app = reference(&registry, "app:v1");
    let many = futures::future::join_all((0..8).map(|_| client.resolve(&app))).await;
    assert!(many.iter().all(Result::is_ok));
    assert_eq!(registry.count("GET", "/token"), 1);
}

#[tokio::test]
async fn pulling_does_not_ask_for_the_right_to_push() {
    let registry = registry(bearer()).await;
    let (client, _) = logged_in("me", "secret");
    client.resolve(&reference(&registry, "app:v1")).await.unwrap();
    let bytes = bytes::Bytes::from_static(b"layer");
    let to = reference(&registry, "other:v1");
    client.push_blob(&to, &blob(&bytes), Arc::new(bytes.clone()), &["app".into()], None).await.unwrap();
    let scopes: Vec<_> =
        registry.log().iter().filter(|l| l.path == "/token").map(|l| l.query.clone()).collect();
    assert_eq!(scopes.len(), 3, "{scopes:?}");
    assert!(scopes[0].ends_with("scope=repository%3Aapp%3Apull"), "{scopes:?}");
    assert!(scopes[1].ends_with("scope=repository%3Aother%3Apull%2Cpush"), "{scopes:?}");
    assert!(
        scopes[2].ends_with("scope=repository%3Aapp%3Apull&scope=repository%3Aother%3Apull%2Cpush"),
        "{scopes:?}"
    );
}

#[tokio::test]
async fn anonymous_tokens_reach_what_is_public() {
    let mut auth = bearer();
    if let Auth::Bearer { public, .. } = &mut auth {
        public.push("app".into());
    }
    let registry = registry(auth).await;
    let app = reference(&registry, "app:v1");
    anonymous().resolve(&app).await.unwrap();
    assert!(registry.log().iter().filter(|l| l.path == "/token").all(|l| l.authorization.is_none()));
    let error = anonymous().resolve(&reference(&registry, "private:v1")).await.unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
}

#[tokio::test]
async fn tokens_by_post_where_get_is_not_known() {
    let mut auth = bearer();
    if let Auth::Bearer { only_post, .. } = &mut auth {
        *only_post = true;
    }
    let registry = registry(auth).await;
    let app = reference(&registry, "app:v1");
    logged_in("me", "secret").0.resolve(&app).await.unwrap();
    assert_eq!((registry.count("GET", "/token"), registry.count("POST", "/token")), (1, 1));
}

#[tokio::test]
async fn identity_tokens_go_by_post_and_never_as_a_password() {
    let registry = registry(bearer()).await;
    let app = reference(&registry, "app:v1");
    for username in ["", "<token>"] {
        logged_in(username, "identity").0.resolve(&app).await.unwrap();
    }
    assert_eq!((registry.count("GET", "/token"), registry.count("POST", "/token")), (0, 2));
    let error = logged_in("", "wrong").0.resolve(&app).await.unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
}

#[tokio::test]
async fn wrong_passwords_are_told_as_such() {
    let registry = registry(bearer()).await;
    let error = logged_in("me", "wrong").0.resolve(&reference(&registry, "app:v1")).await.unwrap_err();
    assert!(
        error.is_unauthorized() && error.to_string().contains("incorrect username or password"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("wrong"));
}

#[tokio::test]
async fn a_session_may_fetch_the_token_instead() {
    let registry = registry(bearer()).await;
    let (helper, _) = logged_in("me", "secret");
    let app = reference(&registry, "app:v1");
    helper.resolve(&app).await.unwrap();
    let token = registry.log().iter().rev().find_map(|l| l.authorization.clone()).unwrap();
    registry.clear_log();
    let account = Account { token: Some(token.trim_start_matches("Bearer ").into()), ..Account::new("", "") };
    let account = Arc::new(account);
    Client::new(options(account.clone())).resolve(&app).await.unwrap();
    assert_eq!(registry.count("GET", "/token") + registry.count("POST", "/token"), 0);
    assert_eq!(account.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn redirects_to_other_hosts_carry_no_authorization() {
    let options =
        Options { auth: bearer(), redirect_blobs: true, upload_elsewhere: true, ..Options::default() };
    let registry = FakeRegistry::start(options).await.unwrap();
    let content = b"content of a layer";
    registry.put_blob("app", content.to_vec());
    let (client, _) = logged_in("me", "secret");
    let app = reference(&registry, "app:v1");
    let pulled = client.pull_blob(&app, &blob(content), 0).await.unwrap().collect().await.unwrap();
    assert_eq!(&pulled[..], content);
    let bytes = bytes::Bytes::from_static(b"new");
    client.push_blob(&app, &blob(&bytes), Arc::new(bytes.clone()), &[], None).await.unwrap();
    let elsewhere: Vec<_> = registry.log().into_iter().filter(|l| l.origin == Origin::Storage).collect();
    assert_eq!(elsewhere.len(), 2, "{elsewhere:?}");
    assert!(elsewhere.iter().all(|l| l.authorization.is_none()), "{elsewhere:?}");
}

#[tokio::test]
async fn the_accounts_of_two_clients_stay_apart() {
    let registry = registry(bearer()).await;
    let (client, _) = logged_in("me", "secret");
    let app = reference(&registry, "app:v1");
    client.resolve(&app).await.unwrap();
    let other = client.with_credentials(Arc::new(slipway_registry::Anonymous));
    assert!(other.resolve(&app).await.unwrap_err().is_unauthorized());
}

/// A registry is a stranger: it may name a token service, but not have passwords sent in the clear,
/// nor to something that is no address.
#[tokio::test]
async fn bad_token_services_get_nothing() {
    for realm in
        ["http://example.invalid/token", "ftp://example.invalid", "nonsense", "https://a:b@example.invalid/"]
    {
        let certificate = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(certificate.path(), slipway_fakes::registry::CERTIFICATE_AUTHORITY).unwrap();
        let registry = FakeRegistry::start(Options {
            tls: true,
            auth: Auth::bearer("me", "secret"),
            realm: Some(realm.into()),
            ..Options::default()
        })
        .await
        .unwrap();
        let (client, account) = logged_in("me", "secret");
        let config = slipway_registry::HostConfig {
            plain_http: Some(false),
            authorities: vec![certificate.path().into()],
            ..slipway_registry::HostConfig::default()
        };
        let client = client.with_host(registry.host(), config);
        let error = client.resolve(&reference(&registry, "app:v1")).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{realm}: {error:?}");
        assert!(error.to_string().contains("token service"), "{error}");
        drop(account);
    }
}
