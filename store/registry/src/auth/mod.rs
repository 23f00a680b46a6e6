//! Authorisation: answering a registry's challenge, and remembering the answer.
//!
//! Nothing is sent until a host asks for it. A challenge (401 with `WWW-Authenticate`) is kept per
//! host; from then on requests to that host carry an answer from the start. Tokens are kept per
//! host and set of scopes, so a pull never carries the right to push, and many requests for one set
//! fetch one token.
//!
//! A token that is refused is forgotten and fetched anew once; a second refusal is the answer.

mod challenge;
mod fetch;
mod scope;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use http::header::{HeaderMap, WWW_AUTHENTICATE};
use parking_lot::Mutex;

pub(crate) use scope::Scopes;

use crate::client::Client;
use crate::credentials::{Credential, Credentials};
use crate::endpoint::Endpoint;
use crate::error::{Asked, Error};
use challenge::Challenge;

/// How a host wants to be answered.
#[derive(Clone, Debug)]
enum Method {
    Basic,
    Bearer { realm: String, service: String },
}

struct HeldToken {
    header: HeaderValue,
    until: Instant,
}

type TokenSlot = Arc<tokio::sync::Mutex<Option<HeldToken>>>;

pub(crate) struct Authorizer {
    credentials: Arc<dyn Credentials>,
    methods: Mutex<HashMap<String, Method>>,
    /// What a host wants for what we would ask for, where that is more: a mirror may know the
    /// repository by another name.
    wider: Mutex<HashMap<(String, Scopes), Scopes>>,
    /// One lock per set of scopes: those who want the same token wait for one fetch.
    tokens: Mutex<HashMap<(String, Scopes), TokenSlot>>,
}

impl Authorizer {
    pub(crate) fn new(credentials: Arc<dyn Credentials>) -> Self {
        Self { credentials, methods: Mutex::default(), wider: Mutex::default(), tokens: Mutex::default() }
    }

    async fn credential(&self, host: &str) -> Result<Option<Credential>, Error> {
        let asked = self.credentials.credentials(host).await;
        asked.map_err(|source| Error::Credentials { host: host.to_owned(), source })
    }

    fn wanted(&self, host: &str, scopes: &Scopes) -> Scopes {
        let wider = self.wider.lock();
        wider.get(&(host.to_owned(), scopes.clone())).unwrap_or(scopes).clone()
    }

    fn widen(&self, host: &str, scopes: &Scopes, by: &Scopes) {
        let wider = scopes.clone().with(by);
        if wider != *scopes {
            self.wider.lock().insert((host.to_owned(), scopes.clone()), wider);
        }
    }

    fn slot(&self, host: &str, scopes: &Scopes) -> TokenSlot {
        self.tokens.lock().entry((host.to_owned(), scopes.clone())).or_default().clone()
    }
}

impl Client {
    /// The `Authorization` for a request, if its host has asked for one before.
    pub(crate) async fn authorization(
        &self,
        endpoint: &Endpoint,
        scopes: &Scopes,
        asked: &Asked,
    ) -> Result<Option<HeaderValue>, Error> {
        let method = self.authorizer.methods.lock().get(&endpoint.host).cloned();
        match method {
            None => Ok(None),
            Some(Method::Basic) => {
                Ok(self.authorizer.credential(&endpoint.host).await?.as_ref().and_then(basic))
            }
            Some(Method::Bearer { realm, service }) => {
                let scopes = &self.authorizer.wanted(&endpoint.host, scopes);
                let slot = self.authorizer.slot(&endpoint.host, scopes);
                let mut held = slot.lock().await;
                if let Some(token) = held.as_ref().filter(|token| token.until > Instant::now()) {
                    return Ok(Some(token.header.clone()));
                }
                let token = self.fetch_token(endpoint, &realm, &service, scopes, asked).await?;
                Ok(Some(held.insert(token).header.clone()))
            }
        }
    }

    /// The `Authorization` that answers a 401, or `None` if there is none (left) to give.
    /// `refused` is what the request carried.
    pub(crate) async fn answer_challenge(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        scopes: &Scopes,
        refused: Option<&HeaderValue>,
        asked: &Asked,
    ) -> Result<Option<HeaderValue>, Error> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<_> = challenges.flat_map(challenge::parse).collect();
        let Some((method, wanted)) = choose(&challenges) else { return Ok(None) };
        self.authorizer.widen(&endpoint.host, scopes, &wanted);
        let scopes = self.authorizer.wanted(&endpoint.host, scopes);
        self.authorizer.methods.lock().insert(endpoint.host.clone(), method);
        self.forget(endpoint, &scopes, refused).await;
        let answer = self.authorization(endpoint, &scopes, asked).await?;
        Ok(answer.filter(|answer| Some(answer) != refused))
    }

    /// Somebody else may have replaced the refused token already: then theirs is tried.
    async fn forget(&self, endpoint: &Endpoint, scopes: &Scopes, refused: Option<&HeaderValue>) {
        let slot = self.authorizer.slot(&endpoint.host, scopes);
        let mut held = slot.lock().await;
        if held.as_ref().is_some_and(|token| Some(&token.header) == refused) {
            *held = None;
        }
    }
}

/// Bearer before basic; schemes we do not know are passed over.
fn choose(challenges: &[Challenge]) -> Option<(Method, Scopes)> {
    let bearer = challenges.iter().find_map(|challenge| {
        let realm = challenge.parameter("realm").filter(|_| challenge.scheme == "bearer")?.to_owned();
        let service = challenge.parameter("service").unwrap_or_default().to_owned();
        let scopes = Scopes::parse(challenge.parameter("scope").unwrap_or_default());
        Some((Method::Bearer { realm, service }, scopes))
    });
    bearer.or_else(|| {
        challenges.iter().any(|c| c.scheme == "basic").then(|| (Method::Basic, Scopes::default()))
    })
}

/// `None` for what basic auth cannot carry: an identity token, or nothing.
fn basic(credential: &Credential) -> Option<HeaderValue> {
    if credential.is_identity_token() || credential.secret.expose().is_empty() {
        return None;
    }
    let packed = BASE64_STANDARD.encode(format!("{}:{}", credential.username, credential.secret.expose()));
    secret_header(&format!("Basic {packed}"))
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
