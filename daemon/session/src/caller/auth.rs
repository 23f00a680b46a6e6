//! Registry credentials and tokens of the client.

use slipway_model::Redacted;
use slipway_proto::filesync::auth_client::AuthClient;
use slipway_proto::filesync::{CredentialsRequest, FetchTokenRequest};

use super::Session;
use super::connection::origin;
use crate::{Error, Result};

/// A user name and password; with an empty name, `secret` is an identity token.
#[derive(Clone, Debug)]
pub struct Credential {
    pub username: String,
    pub secret: Redacted<String>,
}

/// What a registry's token endpoint is to be asked for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    pub client_id: String,
    pub host: String,
    pub realm: String,
    pub service: String,
    pub scopes: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub token: Redacted<String>,
    /// Seconds.
    pub expires_in: i64,
    /// Seconds since 1970.
    pub issued_at: i64,
}

impl Session {
    /// What the client knows for `host`; `None` if nothing.
    pub async fn credential(&self, host: &str) -> Result<Option<Credential>> {
        let Ok(service) = self.require("/moby.filesync.v1.Auth/Credentials") else { return Ok(None) };
        let mut client = AuthClient::with_origin(service, origin());
        match client.credentials(CredentialsRequest { host: host.to_owned() }).await {
            Ok(response) => {
                let found = response.into_inner();
                let is_empty = found.username.is_empty() && found.secret.is_empty();
                let credential = Credential { username: found.username, secret: Redacted::new(found.secret) };
                Ok((!is_empty).then_some(credential))
            }
            Err(status) if status.code() == tonic::Code::Unimplemented => Ok(None),
            Err(status) => Err(Error::call(format!("credentials for {host}"), status)),
        }
    }

    /// A token that the client fetched itself; `None` if it leaves that to us.
    pub async fn token(&self, request: TokenRequest) -> Result<Option<Token>> {
        let Ok(service) = self.require("/moby.filesync.v1.Auth/FetchToken") else { return Ok(None) };
        let mut client = AuthClient::with_origin(service, origin());
        let host = request.host.clone();
        let wire = FetchTokenRequest {
            client_id: request.client_id,
            host: request.host,
            realm: request.realm,
            service: request.service,
            scopes: request.scopes,
        };
        match client.fetch_token(wire).await {
            Ok(response) => {
                let found = response.into_inner();
                Ok(Some(Token {
                    token: Redacted::new(found.token),
                    expires_in: found.expires_in,
                    issued_at: found.issued_at,
                }))
            }
            Err(status) if status.code() == tonic::Code::Unimplemented => Ok(None),
            Err(status) => Err(Error::call(format!("token for {host}"), status)),
        }
    }
}
