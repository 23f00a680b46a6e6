//! One request: authorised, redirected, and sent again if that may help.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use time::OffsetDateTime;
use url::Url;

use crate::auth::Scopes;
use crate::body;
use crate::client::Client;
use crate::connection::authority;
use crate::endpoint::Endpoint;
use crate::error::{Asked, Error};
use crate::push::Outgoing;
use crate::retry::{is_transient, retry_after};

const MOST_REDIRECTS: usize = 10;

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Below the repository: `manifests/latest`.
    Repository(String),
    /// As a registry said (an upload's location).
    Url(Url),
}

#[derive(Clone)]
pub(crate) enum Payload {
    Empty,
    Bytes(Bytes),
    Stream(Outgoing),
}

pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) scopes: Scopes,
    pub(crate) payload: Payload,
    pub(crate) asked: Asked,
}

impl Call {
    pub(crate) fn new(method: Method, target: Target, scopes: Scopes, asked: Asked) -> Self {
        Self { method, target, headers: HeaderMap::new(), scopes, payload: Payload::Empty, asked }
    }
}

impl Client {
    /// Sends `call` until something other than a passing failure comes back.
    /// What that is (404, …) is for the caller to say.
    pub(crate) async fn send(&self, endpoint: &Endpoint, call: &Call) -> Result<reqwest::Response, Error> {
        self.options.retry.run(|| self.send_once(endpoint, call)).await
    }

    /// [`Client::send`] without a second attempt; passing failures are errors.
    pub(crate) async fn send_once(
        &self,
        endpoint: &Endpoint,
        call: &Call,
    ) -> Result<reqwest::Response, Error> {
        let response = self.authorized(endpoint, call).await?;
        if !is_transient(response.status()) {
            return Ok(response);
        }
        let patience = retry_after(response.headers(), OffsetDateTime::now_utc());
        let answer = body::answer(response, &call.asked, self.options.retry.silence).await;
        match patience {
            Some(patience) if patience > self.options.retry.longest_retry_after => {
                // Not transient any more: nobody waits that long.
                return Err(Error::Refused { asked: call.asked.clone(), answer });
            }
            Some(patience) => tokio::time::sleep(patience).await,
            None => {}
        }
        Err(Error::Unavailable { asked: call.asked.clone(), answer })
    }

    /// The answer after challenges and redirects.
    async fn authorized(&self, endpoint: &Endpoint, call: &Call) -> Result<reqwest::Response, Error> {
        let home = self.url(endpoint, &Target::Repository(String::new()), &call.asked)?;
        let mut url = self.url(endpoint, &call.target, &call.asked)?;
        let mut authorization = match same_server(&url, &home) {
            true => self.authorization(endpoint, &call.scopes, &call.asked).await?,
            false => None,
        };
        let (mut challenged, mut redirects) = (false, 0);
        loop {
            let at_home = same_server(&url, &home);
            let carried = authorization.as_ref().filter(|_| at_home);
            let response = match self.transmit(endpoint, call, &url, carried).await {
                Err(Error::Unreachable { .. })
                    if at_home
                        && url.scheme() == "https"
                        && self.connections.fall_back(&endpoint.host, endpoint.scheme) =>
                {
                    return Box::pin(self.authorized(endpoint, call)).await;
                }
                other => other?,
            };
            if response.status() == StatusCode::UNAUTHORIZED && at_home && !challenged {
                challenged = true;
                let headers = response.headers();
                let answer =
                    self.answer_challenge(endpoint, headers, &call.scopes, carried, &call.asked).await?;
                if answer.is_none() {
                    return Ok(response);
                }
                authorization = answer;
            } else if let Some(next) = redirect(call, &url, &response)? {
                redirects += 1;
                if redirects > MOST_REDIRECTS {
                    return Err(protocol(&call.asked, "too many redirects"));
                }
                url = next;
            } else {
                return Ok(response);
            }
        }
    }

    async fn transmit(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, Error> {
        let pool = self.connections.pool(url, &endpoint.host).await?;
        let mut request = pool.request(call.method.clone(), url.clone()).headers(call.headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        match &call.payload {
            Payload::Empty if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) => {
                request = request.header(CONTENT_LENGTH, 0);
            }
            Payload::Empty => {}
            Payload::Bytes(bytes) => {
                self.options.traffic.send(bytes.len());
                request = request.body(bytes.clone());
            }
            Payload::Stream(outgoing) => return outgoing.transmit(request, &call.asked).await,
        }
        let silence: Duration = self.options.retry.silence;
        match tokio::time::timeout(silence, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(body::broken(&call.asked, error)),
            Err(_) => Err(body::silent(&call.asked, silence)),
        }
    }

    fn url(&self, endpoint: &Endpoint, target: &Target, asked: &Asked) -> Result<Url, Error> {
        let scheme = self.connections.scheme(&endpoint.host, endpoint.scheme);
        match target {
            Target::Url(url) => Ok(url.clone()),
            Target::Repository(rest) => {
                endpoint.url(scheme, rest).map_err(|error| protocol(asked, &format!("bad address: {error}")))
            }
        }
    }

    /// An upload's `Location` made whole. One that leaves TLS on the same host is the work of a proxy
    /// that does not tell the registry about it: TLS is kept.
    pub(crate) fn location(
        &self,
        endpoint: &Endpoint,
        response: &reqwest::Response,
        asked: &Asked,
    ) -> Result<Url, Error> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| protocol(asked, "no location for the upload"))?;
        let mut url =
            response.url().join(location).map_err(|_| protocol(asked, "bad location for the upload"))?;
        let here = self.connections.scheme(&endpoint.host, endpoint.scheme);
        if here == "https" && url.scheme() == "http" && authority(&url) == endpoint.host {
            let kept = url.set_scheme("https");
            debug_assert!(kept.is_ok(), "both are special schemes");
        }
        Ok(url)
    }
}

/// Scheme, host and port.
fn same_server(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default()
}

/// Where `response` sends us. A request that changes things follows only what keeps its method.
fn redirect(call: &Call, url: &Url, response: &reqwest::Response) -> Result<Option<Url>, Error> {
    let follow = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            matches!(call.method, Method::GET | Method::HEAD)
        }
        _ => false,
    };
    if !follow {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| protocol(&call.asked, "a redirect without a location"))?;
    let next = url.join(location).map_err(|_| protocol(&call.asked, "a redirect to no address"))?;
    match next.scheme() {
        "http" | "https" => Ok(Some(next)),
        _ => Err(protocol(&call.asked, "a redirect away from HTTP")),
    }
}

pub(crate) fn protocol(asked: &Asked, reason: &str) -> Error {
    Error::Protocol { asked: asked.clone(), reason: reason.to_owned() }
}
