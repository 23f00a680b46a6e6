//! Accounts: asked for when a registry wants one, never stored here.

use std::error::Error as StdError;

use async_trait::async_trait;
use slipway_model::Redacted;

/// Why credentials could not be had.
pub type CredentialsError = Box<dyn StdError + Send + Sync>;

/// A user name with its password, or an identity (refresh) token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Empty or `<token>`: the secret is an identity token.
    pub username: String,
    pub secret: Redacted<String>,
}

impl Credential {
    pub fn new(username: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { username: username.into(), secret: Redacted::new(secret.into()) }
    }

    pub(crate) fn is_identity_token(&self) -> bool {
        self.username.is_empty() || self.username == "<token>"
    }
}

/// What a token is wanted for (the distribution project's token authentication specification).
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The registry's host, as in [`Credentials::credentials`].
    pub host: String,
    /// The URL of the token service.
    pub realm: String,
    pub service: String,
    /// `repository:library/alpine:pull`, …
    pub scopes: Vec<String>,
}

/// A bearer token that somebody else fetched.
#[derive(Clone, Debug)]
pub struct Token {
    pub token: Redacted<String>,
    /// Seconds it is good for from now; 0 means the specification's sixty.
    pub expires_in: u64,
}

/// Who we are, host by host.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// `host` is the server that asks: `registry-1.docker.io` for Docker Hub. `None`: nobody.
    async fn credentials(&self, host: &str) -> Result<Option<Credential>, CredentialsError>;

    /// Fetches a token in our place, so that the secret stays where it is (a client's session).
    /// `None`: it cannot, and [`Credentials::credentials`] is asked.
    async fn fetch_token(&self, _request: &TokenRequest) -> Result<Option<Token>, CredentialsError> {
        Ok(None)
    }
}

/// No account anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

#[async_trait]
impl Credentials for Anonymous {
    async fn credentials(&self, _host: &str) -> Result<Option<Credential>, CredentialsError> {
        Ok(None)
    }
}
