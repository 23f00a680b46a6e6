//! A file of any web server, over the same connections: what `http://` and `https://` sources are read with.
//!
//! Nothing is known of these servers, so nothing is asked of them but the one file. Credentials go to the server
//! of the address only: a redirect elsewhere is followed without them, and a redirect from plain HTTP to TLS on
//! the same host keeps them. Every answer that is no redirect is for the caller to judge.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use url::Url;

use crate::body;
use crate::client::Client;
use crate::connection::authority;
use crate::error::{Asked, Error};
use crate::request::protocol;
use crate::traffic::Traffic;

const MOST_REDIRECTS: usize = 10;

/// One file to be read.
#[derive(Clone, Debug)]
pub struct WebRequest {
    /// `GET`, or `HEAD` for the headers alone.
    pub method: Method,
    /// `http` or `https`; a name and password in it are sent as basic authentication.
    pub url: Url,
    pub headers: HeaderMap,
    /// For the server of `url` alone.
    pub authorization: Option<HeaderValue>,
}

/// The beginning of an answer; its body is read piece by piece.
pub struct WebResponse {
    response: reqwest::Response,
    asked: Asked,
    silence: std::time::Duration,
    traffic: Arc<Traffic>,
}

impl Client {
    /// The answer to `request`, redirects followed. Passing failures of the connection are tried again.
    pub async fn web(&self, request: &WebRequest) -> Result<WebResponse, Error> {
        self.options.retry.run(|| self.web_once(request)).await
    }

    async fn web_once(&self, request: &WebRequest) -> Result<WebResponse, Error> {
        let asked = Asked {
            host: authority(&request.url),
            repository: request.url.path().trim_start_matches('/').to_owned(),
            what: "download".into(),
        };
        let silence = self.options.retry.silence;
        let mut url = request.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let pool = self.connections.pool(&url, &authority(&url)).await?;
            let mut sent = pool.request(request.method.clone(), url.clone()).headers(request.headers.clone());
            if let Some(authorization) =
                request.authorization.as_ref().filter(|_| may_know(&request.url, &url))
            {
                sent = sent.header(AUTHORIZATION, authorization);
            }
            let response = match tokio::time::timeout(silence, sent.send()).await {
                Ok(answer) => answer.map_err(|error| body::broken(&asked, error))?,
                Err(_) => return Err(body::silent(&asked, silence)),
            };
            match redirect(&url, &response, &asked)? {
                None => {
                    let traffic = self.options.traffic.clone();
                    return Ok(WebResponse::new(response, asked, silence, traffic));
                }
                Some(next) => url = next,
            }
        }
        Err(protocol(&asked, &format!("stopped after {MOST_REDIRECTS} redirects")))
    }
}

impl WebResponse {
    pub(crate) fn new(
        response: reqwest::Response,
        asked: Asked,
        silence: std::time::Duration,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self { response, asked, silence, traffic }
    }

    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header that is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end. A body that ends too early is an error.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = body::next_piece(&mut self.response, &self.asked, self.silence).await?;
        self.traffic.receive(piece.as_ref().map_or(0, Bytes::len));
        Ok(piece)
    }

    /// What the server says the body's length is.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The whole body, if it is no larger than `limit` bytes.
    pub async fn read(self, limit: u64) -> Result<Bytes, Error> {
        body::read(self.response, &self.asked, limit, self.silence).await
    }
}

/// Whether the server of `next` may be told what the server of `home` is told.
fn may_know(home: &Url, next: &Url) -> bool {
    let same_port = home.port_or_known_default() == next.port_or_known_default();
    let secured =
        (home.scheme(), next.scheme()) == ("http", "https") && home.port().is_none() && next.port().is_none();
    home.host() == next.host() && (home.scheme() == next.scheme() && same_port || secured)
}

fn redirect(url: &Url, response: &reqwest::Response, asked: &Asked) -> Result<Option<Url>, Error> {
    let follow = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION).filter(|_| follow);
    let Some(location) = location.and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let next = url.join(location).map_err(|_| protocol(asked, "a redirect to no address"))?;
    match next.scheme() {
        "http" | "https" => Ok(Some(next)),
        _ => Err(protocol(asked, "a redirect away from HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_the_server_they_are_for() {
        let knows = |home: &str, next: &str| may_know(&home.parse().unwrap(), &next.parse().unwrap());
        assert!(knows("https://a.com/x", "https://a.com:443/y"));
        assert!(knows("http://a.com/x", "https://a.com/y"));
        for (home, next) in [
            ("https://a.com/", "http://a.com/"),
            ("https://a.com/", "https://b.com/"),
            ("https://a.com/", "https://sub.a.com/"),
            ("http://a.com/", "http://a.com:8080/"),
            ("http://a.com:8080/", "https://a.com/"),
        ] {
            assert!(!knows(home, next), "{home} {next}");
        }
    }
}
