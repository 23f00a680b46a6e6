//! One exchange with a web server that is no registry: any method and headers, with a body if need be.
//!
//! What object stores are spoken to with, over the same connections. Redirects are not followed: who signs a
//! request signs it for one server. Answers other than passing failures are for the caller to judge.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method};
use time::OffsetDateTime;
use url::Url;

use crate::body;
use crate::client::Client;
use crate::connection::authority;
use crate::error::{Asked, Error};
use crate::push::Outgoing;
use crate::retry::{is_transient, retry_after};
use crate::web::WebResponse;
use crate::{BlobSource, RetryOptions};

/// A request, whole.
#[derive(Clone)]
pub struct Exchange {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub payload: ExchangePayload,
}

#[derive(Clone)]
pub enum ExchangePayload {
    Empty,
    Bytes(Bytes),
    /// `length` bytes of `source` from `offset` on, read while they are sent.
    Blob {
        source: std::sync::Arc<dyn BlobSource>,
        offset: u64,
        length: u64,
    },
}

impl Client {
    /// How failures are met.
    pub fn retry(&self) -> RetryOptions {
        self.options.retry
    }

    /// The same connections with another patience.
    pub fn with_retry(&self, retry: RetryOptions) -> Self {
        let options = crate::ClientOptions { retry, ..(*self.options).clone() };
        Self { options: std::sync::Arc::new(options), ..self.clone() }
    }

    /// The answer to the request that `make` makes. It is made anew for each attempt, since signatures hold the
    /// time. `what` is told when it fails; the query of the address never is, for it may hold a signature.
    pub async fn exchange(&self, what: &str, make: impl Fn() -> Exchange) -> Result<WebResponse, Error> {
        let make = &make;
        self.options.retry.run(|| self.exchange_once(what, make())).await
    }

    async fn exchange_once(&self, what: &str, exchange: Exchange) -> Result<WebResponse, Error> {
        let host = authority(&exchange.url);
        let repository = exchange.url.path().trim_start_matches('/').to_owned();
        let asked = Asked { host: host.clone(), repository, what: what.to_owned() };
        let response = self.transmit_exchange(&host, exchange, &asked).await?;
        if !is_transient(response.status()) {
            let traffic = self.options.traffic.clone();
            return Ok(WebResponse::new(response, asked, self.options.retry.silence, traffic));
        }
        let patience = retry_after(response.headers(), OffsetDateTime::now_utc());
        let answer = body::answer(response, &asked, self.options.retry.silence).await;
        match patience {
            Some(patience) if patience > self.options.retry.longest_retry_after => {
                return Err(Error::Refused { asked, answer });
            }
            Some(patience) => tokio::time::sleep(patience).await,
            None => {}
        }
        Err(Error::Unavailable { asked, answer })
    }

    async fn transmit_exchange(
        &self,
        host: &str,
        exchange: Exchange,
        asked: &Asked,
    ) -> Result<reqwest::Response, Error> {
        let Exchange { method, url, headers, payload } = exchange;
        let pool = self.connections.pool(&url, host).await?;
        let silence = self.options.retry.silence;
        let mut request = pool.request(method.clone(), url).headers(headers);
        match payload {
            ExchangePayload::Empty if matches!(method, Method::POST | Method::PUT) => {
                request = request.header(CONTENT_LENGTH, 0);
            }
            ExchangePayload::Empty => {}
            ExchangePayload::Bytes(bytes) => {
                self.options.traffic.send(bytes.len());
                request = request.body(bytes);
            }
            ExchangePayload::Blob { source, offset, length } => {
                let traffic = self.options.traffic.clone();
                let outgoing = Outgoing { source, offset, length, progress: None, silence, traffic };
                return outgoing.transmit(request, asked).await;
            }
        }
        match tokio::time::timeout(silence, request.send()).await {
            Ok(answer) => answer.map_err(|error| body::broken(asked, error)),
            Err(_) => Err(body::silent(asked, silence)),
        }
    }
}
