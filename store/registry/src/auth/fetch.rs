//! Fetching a token from the service a registry names.
//!
//! | who we are | how |
//! |---|---|
//! | somebody who fetches it for us | [`Credentials::fetch_token`](crate::Credentials::fetch_token) |
//! | nobody | GET |
//! | user and password | GET with basic auth; POST as OAuth 2 where GET is answered 401, 404 or 405 |
//! | an identity token | POST as OAuth 2 (`refresh_token`) |

use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use url::Url;
use url::form_urlencoded::Serializer;

use super::{HeldAnswer, Scopes, basic, secret_header};
use crate::client::Client;
use crate::credentials::{Credential, TokenRequest};
use crate::endpoint::Endpoint;
use crate::error::{Asked, Error};
use crate::host::is_loopback;
use crate::{body, connection};

const LARGEST_ANSWER: u64 = 1 << 20;
const DEFAULT_SECONDS: u64 = 60;
/// Longer than any service grants: keeps arithmetic on clocks safe.
const MOST_SECONDS: u64 = 30 * 24 * 3600;
const CLIENT_ID: &str = "slipway";

#[derive(serde::Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

impl Client {
    pub(super) async fn fetch_token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: &str,
        scopes: &Scopes,
        asked: &Asked,
    ) -> Result<HeldAnswer, Error> {
        let url = self.realm(endpoint, realm, asked)?;
        let request = TokenRequest {
            host: endpoint.host.clone(),
            realm: realm.to_owned(),
            service: service.to_owned(),
            scopes: scopes.to_strings(),
        };
        let fetched = self.options.credentials.fetch_token(&request).await;
        let fetched = fetched.map_err(|source| Error::Credentials { host: endpoint.host.clone(), source })?;
        if let Some(token) = fetched {
            return hold(token.token.expose(), token.expires_in, asked);
        }
        let credential = self.authorizer.credential(&endpoint.host).await?;
        let service = Service { client: self, endpoint, realm: url, request, asked };
        let answer = self.options.retry.run(|| service.ask(credential.as_ref())).await?;
        let token = if answer.access_token.is_empty() { &answer.token } else { &answer.access_token };
        hold(token, answer.expires_in, asked)
    }

    /// Secrets go to a token service over TLS, unless its registry (or its own entry) is plain anyway.
    fn realm(&self, endpoint: &Endpoint, realm: &str, asked: &Asked) -> Result<Url, Error> {
        let fail = |reason: &str| Error::Protocol {
            asked: asked.clone(),
            reason: format!("its token service {realm:?} {reason}"),
        };
        let url = Url::parse(realm).map_err(|_| fail("is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail("carries a user name"));
        }
        let host = connection::authority(&url);
        let plain = self.connections.scheme(&endpoint.host, endpoint.scheme) == "http"
            || is_loopback(&host)
            || self.connections.config(&host).is_some_and(|config| config.plain_http == Some(true));
        match url.scheme() {
            "https" => Ok(url),
            "http" if plain => Ok(url),
            "http" => Err(fail("does not use TLS while the registry does")),
            _ => Err(fail("is not an HTTP address")),
        }
    }
}

fn hold(token: &str, expires_in: u64, asked: &Asked) -> Result<HeldAnswer, Error> {
    let bad = |reason: &str| Error::Protocol { asked: asked.clone(), reason: reason.into() };
    if token.is_empty() {
        return Err(bad("its token service answered without a token"));
    }
    let header =
        secret_header(&format!("Bearer {token}")).ok_or_else(|| bad("its token is not a header value"))?;
    let seconds = if expires_in == 0 { DEFAULT_SECONDS } else { expires_in.min(MOST_SECONDS) };
    // A tenth early: clocks and requests under way.
    Ok(HeldAnswer { header, until: Instant::now() + Duration::from_millis(seconds * 900) })
}

struct Service<'a> {
    client: &'a Client,
    endpoint: &'a Endpoint,
    realm: Url,
    request: TokenRequest,
    asked: &'a Asked,
}

impl Service<'_> {
    async fn ask(&self, credential: Option<&Credential>) -> Result<TokenAnswer, Error> {
        let Some(credential) = credential else { return self.read(self.get(None).await?).await };
        if credential.is_identity_token() {
            return self.read(self.post(credential).await?).await;
        }
        let answer = self.get(basic(credential)).await?;
        let post_instead = matches!(
            answer.status(),
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        );
        if post_instead {
            return self.read(self.post(credential).await?).await;
        }
        self.read(answer).await
    }

    async fn get(&self, authorization: Option<HeaderValue>) -> Result<reqwest::Response, Error> {
        let mut url = self.realm.clone();
        if !self.request.service.is_empty() {
            url.query_pairs_mut().append_pair("service", &self.request.service);
        }
        for scope in &self.request.scopes {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        let pool = self.client.connections.pool(&url, &self.endpoint.host).await?;
        let mut request = pool.request(Method::GET, url);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.send(request).await
    }

    async fn post(&self, credential: &Credential) -> Result<reqwest::Response, Error> {
        let pool = self.client.connections.pool(&self.realm, &self.endpoint.host).await?;
        let request = pool
            .request(Method::POST, self.realm.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(credential));
        self.send(request).await
    }

    fn form(&self, credential: &Credential) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("service", &self.request.service).append_pair("client_id", CLIENT_ID);
        if !self.request.scopes.is_empty() {
            form.append_pair("scope", &self.request.scopes.join(" "));
        }
        let secret = credential.secret.expose();
        if credential.is_identity_token() {
            form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", secret);
        } else {
            form.append_pair("grant_type", "password");
            form.append_pair("username", &credential.username).append_pair("password", secret);
        }
        form.finish()
    }

    /// Redirects are not followed: secrets go to the service that was named, and nowhere else.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        let silence = self.client.options.retry.silence;
        match tokio::time::timeout(silence, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(body::broken(&self.about(), error)),
            Err(_) => Err(body::silent(&self.about(), silence)),
        }
    }

    async fn read(&self, response: reqwest::Response) -> Result<TokenAnswer, Error> {
        let silence = self.client.options.retry.silence;
        if !response.status().is_success() {
            let answer = body::answer(response, &self.about(), silence).await;
            return Err(match answer.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    Error::Unauthorized { asked: self.asked.clone(), answer }
                }
                status if crate::retry::is_transient(status) => {
                    Error::Unavailable { asked: self.about(), answer }
                }
                _ => Error::Refused { asked: self.about(), answer },
            });
        }
        let body = body::read(response, &self.about(), LARGEST_ANSWER, silence).await?;
        serde_json::from_slice(&body)
            .map_err(|_| Error::Protocol { asked: self.about(), reason: "the answer is not a token".into() })
    }

    fn about(&self) -> Asked {
        let what = format!("{}: token from {}", self.asked.what, connection::authority(&self.realm));
        Asked { what, ..self.asked.clone() }
    }
}
