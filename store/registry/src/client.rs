//! The client: what it is made of, and the handles that share it.

use std::collections::HashMap;
use std::sync::Arc;

use slipway_model::Reference;

use crate::auth::Authorizer;
use crate::connection::Connections;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::Asked;
use crate::host::HostConfig;
use crate::limit::Limits;
use crate::retry::RetryOptions;
use crate::traffic::Traffic;

#[derive(Clone)]
pub struct ClientOptions {
    /// By domain, as in references (`docker.io`), and by host for mirrors.
    pub hosts: HashMap<String, HostConfig>,
    pub credentials: Arc<dyn Credentials>,
    pub user_agent: String,
    pub retry: RetryOptions,
    /// Transfers at a time per host and direction.
    pub transfers_per_host: usize,
    /// Where what is transferred is counted.
    pub traffic: Arc<Traffic>,
}

impl ClientOptions {
    pub fn new(credentials: Arc<dyn Credentials>) -> Self {
        Self {
            hosts: HashMap::new(),
            credentials,
            user_agent: concat!("slipway/", env!("CARGO_PKG_VERSION")).into(),
            retry: RetryOptions::default(),
            transfers_per_host: 4,
            traffic: Arc::default(),
        }
    }
}

/// A registry client; clones share everything.
#[derive(Clone)]
pub struct Client {
    pub(crate) options: Arc<ClientOptions>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) authorizer: Arc<Authorizer>,
}

impl Client {
    /// Does nothing yet: connections are made, and certificates read, on first use.
    pub fn new(options: ClientOptions) -> Self {
        Self {
            connections: Arc::new(Connections::new(options.user_agent.clone(), options.hosts.clone())),
            limits: Arc::new(Limits::new(options.transfers_per_host)),
            authorizer: Arc::new(Authorizer::new(options.credentials.clone())),
            options: Arc::new(options),
        }
    }

    /// The same connections and limits for somebody else: tokens are not shared.
    pub fn with_credentials(&self, credentials: Arc<dyn Credentials>) -> Self {
        let options = ClientOptions { credentials: credentials.clone(), ..(*self.options).clone() };
        Self {
            options: Arc::new(options),
            authorizer: Arc::new(Authorizer::new(credentials)),
            ..self.clone()
        }
    }

    /// With another way to reach `domain`: connections and tokens of its own, common limits.
    pub fn with_host(&self, domain: impl Into<String>, config: HostConfig) -> Self {
        let mut options = (*self.options).clone();
        options.hosts.insert(domain.into(), config);
        Self { limits: self.limits.clone(), ..Self::new(options) }
    }

    /// A client that asks the registry of `reference` itself; `None` if this one does already.
    pub fn without_mirrors(&self, reference: &Reference) -> Option<Self> {
        let config =
            self.options.hosts.get(reference.domain()).filter(|config| !config.mirrors.is_empty())?;
        let config = HostConfig { mirrors: Vec::new(), ..config.clone() };
        let mut options = (*self.options).clone();
        options.hosts.insert(reference.domain().to_owned(), config);
        Some(Self { options: Arc::new(options), ..self.clone() })
    }

    pub(crate) fn asked(endpoint: &Endpoint, what: impl Into<String>) -> Asked {
        Asked { host: endpoint.host.clone(), repository: endpoint.repository.clone(), what: what.into() }
    }

    pub(crate) fn origin(&self, reference: &Reference) -> Endpoint {
        Endpoint::origin(&self.options, reference)
    }

    pub(crate) fn mirrors(&self, reference: &Reference) -> Vec<Endpoint> {
        let mut all = self.endpoints(reference);
        all.pop();
        all
    }

    /// The mirrors, then the registry itself.
    pub(crate) fn endpoints(&self, reference: &Reference) -> Vec<Endpoint> {
        Endpoint::all(&self.options, reference)
    }
}
