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
use std::time::{Duration, Instant};

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

/// How long a password is used before whoever has it is asked again: asking may mean a way to a client.
const BASIC: Duration = Duration::from_secs(300);

/// What goes into `Authorization`.
struct HeldAnswer {
    header: HeaderValue,
    until: Instant,
}

type Slot = Arc<tokio::sync::Mutex<Option<HeldAnswer>>>;

pub(crate) struct Authorizer {
    credentials: Arc<dyn Credentials>,
    methods: Mutex<HashMap<String, Method>>,
    /// What a host wants for what we would ask for, where that is more: a mirror may know the
    /// repository by another name.
    wider: Mutex<HashMap<(String, Scopes), Scopes>>,
    /// One lock per set of scopes: those who want the same answer wait for one fetch.
    answers: Mutex<HashMap<(String, Scopes), Slot>>,
}

impl Authorizer {
    pub(crate) fn new(credentials: Arc<dyn Credentials>) -> Self {
        Self { credentials, methods: Mutex::default(), wider: Mutex::default(), answers: Mutex::default() }
    }

    async fn credential(&self, host: &str) -> Result<Option<Credential>, Error> {
        let asked = self.credentials.credentials(host).await;
        asked.map_err(|source| Error::Credentials { host: host.to_owned(), source })
    }

    /// What the answer is kept under: a password is good for everything.
    fn wanted(&self, host: &str, scopes: &Scopes, method: &Method) -> Scopes {
        if let Method::Basic = method {
            return Scopes::default();
        }
        let wider = self.wider.lock();
        wider.get(&(host.to_owned(), scopes.clone())).unwrap_or(scopes).clone()
    }

    fn widen(&self, host: &str, scopes: &Scopes, by: &Scopes) {
        let wider = scopes.clone().with(by);
        if wider != *scopes {
            self.wider.lock().insert((host.to_owned(), scopes.clone()), wider);
        }
    }

    fn slot(&self, host: &str, scopes: &Scopes) -> Slot {
        self.answers.lock().entry((host.to_owned(), scopes.clone())).or_default().clone()
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
        let Some(method) = method else { return Ok(None) };
        let scopes = &self.authorizer.wanted(&endpoint.host, scopes, &method);
        let slot = self.authorizer.slot(&endpoint.host, scopes);
        let mut held = slot.lock().await;
        if let Some(answer) = held.as_ref().filter(|answer| answer.until > Instant::now()) {
            return Ok(Some(answer.header.clone()));
        }
        *held = match &method {
            Method::Basic => {
                let credential = self.authorizer.credential(&endpoint.host).await?;
                let header = credential.as_ref().and_then(basic);
                header.map(|header| HeldAnswer { header, until: Instant::now() + BASIC })
            }
            Method::Bearer { realm, service } => {
                Some(self.fetch_token(endpoint, realm, service, scopes, asked).await?)
            }
        };
        Ok(held.as_ref().map(|answer| answer.header.clone()))
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
        self.authorizer.methods.lock().insert(endpoint.host.clone(), method.clone());
        let scopes = &self.authorizer.wanted(&endpoint.host, scopes, &method);
        self.forget(endpoint, scopes, refused).await;
        let answer = self.authorization(endpoint, scopes, asked).await?;
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
