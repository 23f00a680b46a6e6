//! Registries, in the name of whoever builds.
//!
//! Connections and limits are the daemon's; credentials and the tokens they buy are those of the
//! sessions of a build, and never shared with another build.

use std::sync::Arc;

use async_trait::async_trait;
use slipway_model::Reference;
use slipway_registry::{Client, Credential, Credentials, CredentialsError, Token, TokenRequest};
use slipway_session::caller::{self, Sessions};

use crate::source::image::{ImageSource, Origin, RegistryOrigin};
use crate::source::oci_layout::{LayoutOrigin, SessionLayout};

/// Where images are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Registry,
    /// An OCI layout of a client: a store of its session, of this one or of any that builds.
    Layout { session: Option<String>, store: String },
}

#[derive(Clone)]
pub struct Images {
    pub source: ImageSource,
    client: Client,
    sessions: Arc<Sessions>,
}

impl Images {
    pub fn new(source: ImageSource, client: Client, sessions: Arc<Sessions>) -> Self {
        Self { source, client, sessions }
    }

    /// A registry client that acts for the builds of `sessions`.
    pub fn client(&self, sessions: Vec<String>) -> Client {
        let credentials = SessionCredentials { known: self.sessions.clone(), sessions };
        self.client.with_credentials(Arc::new(credentials))
    }

    /// The same connections without anybody's account, for what is not in a registry.
    pub(crate) fn web(&self) -> &Client {
        &self.client
    }

    /// Where the image of this name is, for the builds of `sessions`.
    pub fn origin(&self, place: &Place, reference: Reference, sessions: Vec<String>) -> Arc<dyn Origin> {
        match place {
            Place::Registry => Arc::new(RegistryOrigin { client: self.client(sessions), reference }),
            Place::Layout { session, store } => {
                let sessions = session.clone().map_or(sessions, |session| vec![session]);
                // Clients tell layouts of images from other stores by this.
                let store = format!("oci:{store}");
                let layout = SessionLayout::new(self.sessions.clone(), sessions, store);
                Arc::new(LayoutOrigin { layout, reference })
            }
        }
    }
}

/// The accounts of the clients whose builds want something.
struct SessionCredentials {
    known: Arc<Sessions>,
    sessions: Vec<String>,
}

#[async_trait]
impl Credentials for SessionCredentials {
    async fn credentials(&self, host: &str) -> Result<Option<Credential>, CredentialsError> {
        for session in self.sessions.iter().filter_map(|id| self.known.peek(id)) {
            if let Some(found) = session.credential(host).await? {
                return Ok(Some(Credential { username: found.username, secret: found.secret }));
            }
        }
        Ok(None)
    }

    async fn fetch_token(&self, request: &TokenRequest) -> Result<Option<Token>, CredentialsError> {
        for session in self.sessions.iter().filter_map(|id| self.known.peek(id)) {
            let wire = caller::TokenRequest {
                client_id: "buildkit-client".into(),
                host: request.host.clone(),
                realm: request.realm.clone(),
                service: request.service.clone(),
                scopes: request.scopes.clone(),
            };
            if let Some(found) = session.token(wire).await? {
                let expires_in = u64::try_from(found.expires_in).unwrap_or(0);
                return Ok(Some(Token { token: found.token, expires_in }));
            }
        }
        Ok(None)
    }
}
