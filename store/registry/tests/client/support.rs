//! Clients that do not wait, and accounts that count how often they are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use slipway_fakes::FakeRegistry;
use slipway_model::media_type::{OCI_CONFIG, OCI_LAYER};
use slipway_model::{BlobDigest, Descriptor, Digest, Reference};
use slipway_registry::{
    Anonymous, Client, ClientOptions, Credential, Credentials, CredentialsError, RetryOptions, Token,
    TokenRequest,
};

pub(crate) fn options(credentials: Arc<dyn Credentials>) -> ClientOptions {
    let retry = RetryOptions {
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(2),
        ..RetryOptions::default()
    };
    ClientOptions { retry, ..ClientOptions::new(credentials) }
}

pub(crate) fn anonymous() -> Client {
    Client::new(options(Arc::new(Anonymous)))
}

pub(crate) fn logged_in(username: &str, secret: &str) -> (Client, Arc<Account>) {
    let account = Arc::new(Account::new(username, secret));
    (Client::new(options(account.clone())), account)
}

pub(crate) fn reference(registry: &FakeRegistry, rest: &str) -> Reference {
    format!("{}/{rest}", registry.host()).parse().unwrap()
}

pub(crate) fn blob(bytes: &[u8]) -> Descriptor {
    Descriptor::new(OCI_LAYER, BlobDigest(Digest::of(bytes)), bytes.len() as u64)
}

/// Bytes that do not repeat early, so that a piece out of place shows.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

/// A manifest with one layer and a config, whose blobs may or may not be anywhere.
pub(crate) fn manifest(config: &[u8], layer: &[u8]) -> Vec<u8> {
    let mut config = blob(config);
    config.media_type = OCI_CONFIG.into();
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": slipway_model::media_type::OCI_MANIFEST,
        "config": config, "layers": [blob(layer)],
    }))
    .unwrap()
}

pub(crate) struct Account {
    pub(crate) credential: Credential,
    pub(crate) asked: AtomicUsize,
    /// Fetches tokens itself, and this is what it gets.
    pub(crate) token: Option<String>,
}

impl Account {
    pub(crate) fn new(username: &str, secret: &str) -> Self {
        Self { credential: Credential::new(username, secret), asked: AtomicUsize::new(0), token: None }
    }
}

#[async_trait]
impl Credentials for Account {
    async fn credentials(&self, _host: &str) -> Result<Option<Credential>, CredentialsError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.credential.clone()))
    }

    async fn fetch_token(&self, request: &TokenRequest) -> Result<Option<Token>, CredentialsError> {
        assert!(request.realm.ends_with("/token") && request.service == "fake", "{request:?}");
        let token = self.token.clone().map(slipway_model::Redacted::new);
        Ok(token.map(|token| Token { token, expires_in: 0 }))
    }
}
