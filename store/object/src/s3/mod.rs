//! S3, and what speaks its protocol.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what builds say |
//! | `sign` | signatures |
//! | `upload` | objects in one request, or in parts |
//! | `answer` | the little of XML that answers hold |

mod answer;
mod options;
mod sign;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Method};
use slipway_model::Descriptor;
use slipway_registry::{
    BlobReader, BlobSource, Client, Exchange, ExchangePayload, RetryOptions, WebResponse,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::sync::Semaphore;
use url::Url;

pub use options::S3Options;
use sign::{Unsigned, encode, hex_digest, time_stamp};

use crate::cache_store::LARGEST_CONFIG;
use crate::named::{Named, Objects};
use crate::resume::{self, Reopen};
use crate::{Error, Result};

/// A bucket.
#[derive(Clone)]
struct Bucket(Arc<Inner>);

struct Inner {
    client: Client,
    options: S3Options,
    /// Uploads under way.
    uploads: Semaphore,
}

/// One request to the bucket.
struct Request<'a> {
    method: Method,
    object: &'a str,
    query: &'a [(&'a str, &'a str)],
    /// Lower case.
    headers: &'a [(&'static str, String)],
    payload: ExchangePayload,
    /// SHA-256 of the payload in hexadecimal digits, if it is known; empty for an empty one.
    hash: Option<String>,
    what: &'a str,
}

/// A cache in a bucket.
pub fn open(client: &Client, options: S3Options) -> Named {
    let retry = client.retry();
    let attempts = options.attempts.unwrap_or(retry.attempts);
    let (blobs, manifests) = (options.blobs.clone(), options.manifests.clone());
    let names = options.names.clone();
    let uploads = Semaphore::new(options.uploads as usize);
    let client = client.with_retry(RetryOptions { attempts, ..retry });
    let bucket = Bucket(Arc::new(Inner { client, options, uploads }));
    Named { objects: Box::new(bucket), blobs, manifests, names, read: 1 }
}

impl Bucket {
    fn place(&self) -> String {
        self.0.options.place()
    }

    async fn send(&self, request: Request<'_>) -> Result<WebResponse> {
        let url = self.url(request.object, request.query)?;
        let headers = self.unsigned_headers(&url, &request);
        let payload = match &request.payload {
            ExchangePayload::Empty => hex_digest(b""),
            _ => request.hash.clone().unwrap_or_else(|| sign::UNSIGNED.into()),
        };
        let make = || {
            let headers = self.signed_headers(&url, request.method.as_str(), headers.clone(), &payload);
            Exchange {
                method: request.method.clone(),
                url: url.clone(),
                headers,
                payload: request.payload.clone(),
            }
        };
        Ok(self.0.client.exchange(request.what, make).await?)
    }

    /// As it is sent and signed.
    fn url(&self, object: &str, query: &[(&str, &str)]) -> Result<Url> {
        let S3Options { endpoint, bucket, path_style, .. } = &self.0.options;
        let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = endpoint.host_str().unwrap_or_default();
        let base = endpoint.path().trim_end_matches('/');
        let (host, folder) = match path_style {
            true => (format!("{host}{port}"), format!("{base}/{}", encode(bucket, false))),
            false => (format!("{bucket}.{host}{port}"), base.to_owned()),
        };
        let mut fields: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false)))
            .collect();
        fields.sort();
        let query = if fields.is_empty() { String::new() } else { format!("?{}", fields.join("&")) };
        let text = format!("{}://{host}{folder}/{}{query}", endpoint.scheme(), encode(object, true));
        let bad = || Error::Option(format!("bucket={bucket} makes no address with {host}"));
        Url::parse(&text).map_err(|_| bad())
    }

    fn unsigned_headers(&self, url: &Url, request: &Request<'_>) -> BTreeMap<String, String> {
        let mut headers: BTreeMap<String, String> =
            request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        headers.insert("host".into(), format!("{}{port}", url.host_str().unwrap_or_default()));
        headers
    }

    fn signed_headers(
        &self,
        url: &Url,
        method: &str,
        mut headers: BTreeMap<String, String>,
        payload: &str,
    ) -> HeaderMap {
        let S3Options { credentials, region, .. } = &self.0.options;
        let now = OffsetDateTime::now_utc();
        headers.insert("x-amz-date".into(), time_stamp(now));
        headers.insert("x-amz-content-sha256".into(), payload.to_owned());
        if let Some(token) = &credentials.session_token {
            headers.insert("x-amz-security-token".into(), token.expose().clone());
        }
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let unsigned = Unsigned { method, path, query, headers: &headers, payload };
        let authorization = credentials.sign(region, now, &unsigned);
        headers.remove("host");
        let mut signed = HeaderMap::new();
        for (name, value) in headers {
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
                value.set_sensitive(name == "x-amz-security-token");
                signed.insert(name, value);
            }
        }
        if let Ok(mut value) = HeaderValue::try_from(authorization) {
            value.set_sensitive(true);
            signed.insert(AUTHORIZATION, value);
        }
        signed
    }

    /// The error that `response` is.
    async fn refused(&self, what: &str, response: WebResponse) -> Error {
        let status = response.status();
        let body = response.read(answer::LARGEST).await.unwrap_or_default();
        self.refusal(what, status, &body)
    }

    fn refusal(&self, what: &str, status: u16, body: &[u8]) -> Error {
        let text = String::from_utf8_lossy(body);
        Error::Refused {
            place: self.place(),
            what: what.to_owned(),
            status: http::StatusCode::from_u16(status).unwrap_or_default(),
            code: answer::element(&text, "Code").unwrap_or_default(),
            message: answer::element(&text, "Message").unwrap_or_default(),
        }
    }

    fn protocol(&self, what: &str, reason: &str) -> Error {
        Error::Protocol { place: self.place(), what: what.to_owned(), reason: reason.to_owned() }
    }

    /// `None` for an object that is not there; everything else but success is an error.
    async fn get(&self, object: &str, offset: u64) -> Result<Option<WebResponse>> {
        let what = "download";
        let range = [("range", format!("bytes={offset}-"))];
        let headers: &[_] = if offset > 0 { &range } else { &[] };
        let request = Request { method: Method::GET, object, query: &[], headers, what, ..Request::EMPTY };
        let response = self.send(request).await?;
        match response.status() {
            200 | 206 => Ok(Some(response)),
            404 => match self.refused(what, response).await {
                Error::Refused { code, .. } if code == "NoSuchKey" || code.is_empty() => Ok(None),
                error => Err(error),
            },
            _ => Err(self.refused(what, response).await),
        }
    }
}

impl Request<'_> {
    const EMPTY: Self = Self {
        method: Method::GET,
        object: "",
        query: &[],
        headers: &[],
        payload: ExchangePayload::Empty,
        hash: None,
        what: "",
    };
}

#[async_trait]
impl Objects for Bucket {
    fn name(&self) -> String {
        self.place()
    }

    async fn keep(&self, object: &str) -> Result<bool> {
        let request = Request { method: Method::HEAD, object, what: "look-up", ..Request::EMPTY };
        let response = self.send(request).await?;
        match response.status() {
            200 => {}
            404 => return Ok(false),
            // An answer to HEAD has no words; that to GET says why.
            _ => {
                self.get(object, 0).await?;
                return Err(self.refused("look-up", response).await);
            }
        }
        let age = response.header(LAST_MODIFIED.as_str()).and_then(age);
        if age.is_some_and(|age| age > self.0.options.touch_refresh) {
            self.touch(object, response.length().unwrap_or(0)).await?;
        }
        Ok(true)
    }

    async fn small(&self, object: &str) -> Result<Option<Bytes>> {
        match self.get(object, 0).await? {
            Some(response) => Ok(Some(response.read(LARGEST_CONFIG).await?)),
            None => Ok(None),
        }
    }

    async fn open(&self, object: &str, offset: u64, size: u64) -> Result<Option<BlobReader>> {
        let source = Arc::new(Opened { bucket: self.clone(), object: object.to_owned() });
        match resume::read(source, self.0.client.retry(), offset, size).await {
            Ok(reader) => Ok(Some(reader)),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(
        &self,
        object: &str,
        descriptor: &Descriptor,
        source: Arc<dyn BlobSource>,
        _fixed: bool,
    ) -> Result<()> {
        self.upload(object, descriptor, source).await
    }
}

struct Opened {
    bucket: Bucket,
    object: String,
}

#[async_trait]
impl Reopen for Opened {
    async fn reopen(&self, offset: u64) -> Result<WebResponse> {
        let found = self.bucket.get(&self.object, offset).await?;
        found.ok_or_else(|| Error::Missing { place: self.bucket.place(), digest: self.object.clone() })
    }

    fn broken(&self, reason: &str) -> Error {
        self.bucket.protocol(&format!("download of {}", self.object), reason)
    }
}

/// How long ago an HTTP date was.
fn age(date: &str) -> Option<Duration> {
    // HTTP dates are RFC 2822 dates whose zone is spelled GMT.
    let date = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()?;
    SystemTime::now().duration_since(date.into()).ok()
}
