//! The cache of GitHub Actions, by its second API.
//!
//! | option | else |
//! |---|---|
//! | `url_v2`, or `url` of GitHub's own service | (needed) |
//! | `token` (of the job: `$ACTIONS_RUNTIME_TOKEN` there) | (needed) |
//! | `scope` | `buildkit` |
//! | `timeout` (of each question to the service) | 10m |
//! | `version` | 2; the first API is no longer served, and refused by name |
//! | `repository`, `ghtoken` (with which one could list entries at once) | entries are asked for one by one |
//!
//! Entries never change. A blob is the entry of its digest. The config is the one of a row of entries, `KEY#1`,
//! `KEY#2`, …, that was made last; who writes takes the next number. A branch reads what its base wrote, too: the
//! job's token lists the scopes that it may read, and the one that it writes to.
//!
//! Bytes are in Azure's storage, at signed addresses that the service gives. The token is never sent there.

mod service;
mod token;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use slipway_model::{BlobDigest, Descriptor, Digest, Redacted};
use slipway_registry::{BlobReader, BlobSource, Client, Exchange, ExchangePayload, WebResponse};
use tokio::sync::Mutex;
use url::Url;

use crate::azure::{self, blocks};
use crate::cache_store::{CacheStore, LARGEST_CONFIG};
use crate::resume::{self, Reopen};
use crate::{Error, Options, Result};
use service::{Found, Reserved, Service};
use token::Scope;

/// Whoever writes a config and dies leaves its number taken: after so many looks, the next one is taken.
const LOOKS: usize = 8;
const LOOK: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct ActionsOptions {
    url: Url,
    token: Redacted<String>,
    scopes: Vec<Scope>,
    scope: String,
    timeout: Duration,
}

impl ActionsOptions {
    pub fn take(options: &mut Options<'_>) -> Result<Self> {
        let (first, second) = (options.take("url"), options.take("url_v2"));
        let version = options.take("version");
        match version.as_deref() {
            None | Some("2") => {}
            Some("1") => {
                return Err(Error::Option(
                    "version=1 is an API that is no longer served: use version=2".into(),
                ));
            }
            Some(other) => return Err(Error::Option(format!("version={other}: there is version=2"))),
        }
        let is_second = |url: &String| version.is_some() || url.contains("results-receiver.actions.");
        let url = second.or_else(|| first.clone().filter(is_second));
        let url = url.ok_or_else(|| {
            Error::Option(match first {
                Some(_) => {
                    "url is that of an API that is no longer served: give url_v2 ($ACTIONS_RESULTS_URL)"
                        .into()
                }
                None => "url_v2 is missing: it is $ACTIONS_RESULTS_URL of the job".into(),
            })
        })?;
        let url =
            Url::parse(&url).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| Error::Option("url_v2 is no address".into()))?;
        let token = options.take("token");
        let token = token.ok_or_else(|| {
            Error::Option("token is missing: it is $ACTIONS_RUNTIME_TOKEN of the job".into())
        })?;
        let scopes = token::scopes(&token)?;
        options.take("repository");
        options.take("ghtoken");
        Ok(Self {
            url,
            token: Redacted::new(token),
            scopes,
            scope: options.take("scope").unwrap_or_else(|| "buildkit".into()),
            timeout: options.take_span("timeout", Duration::from_secs(600))?,
        })
    }
}

impl ActionsOptions {
    /// The cache, for people.
    pub fn name(&self) -> String {
        format!("GitHub Actions at {}, scope {}", self.url.host_str().unwrap_or_default(), self.scope)
    }
}

/// A cache among a repository's entries.
pub struct Actions {
    service: Arc<Service>,
    scopes: Vec<Scope>,
    scope: String,
}

pub fn open(client: &Client, options: ActionsOptions) -> Actions {
    let ActionsOptions { url, token, scopes, scope, timeout } = options;
    Actions { service: Arc::new(Service::new(client.clone(), url, token, timeout)), scopes, scope }
}

impl Actions {
    /// Without the number.
    fn config_key(&self, scope: &str) -> String {
        let hash = Digest::of(scope.as_bytes()).to_string();
        let hash = hash.strip_prefix("sha256:").unwrap_or_default();
        format!("index-{}-1-{}", self.scope, &hash[..hash.len().min(8)])
    }

    async fn config(&self, scope: &str) -> Result<Option<Bytes>> {
        let key = format!("{}#", self.config_key(scope));
        let Some(found) = self.service.find(&key).await? else { return Ok(None) };
        let response = download(&self.service, &found.url, 0).await?;
        match response.status() {
            200 => Ok(Some(response.read(LARGEST_CONFIG).await?)),
            _ => Err(azure::refused(&self.service.place(), "download of a config", &response)),
        }
    }

    async fn save(&self, key: &str, address: &Url, size: u64, source: Arc<dyn BlobSource>) -> Result<()> {
        let make = |query: &[(&str, &str)], headers: &[(&'static str, String)], payload| {
            let mut url = address.clone();
            if !query.is_empty() {
                url.query_pairs_mut().extend_pairs(query);
            }
            signed(Method::PUT, url, headers, payload)
        };
        let place = self.service.place();
        let target =
            blocks::Target { client: &self.service.client, place: &place, make: &make, fixed: false };
        blocks::upload(&target, size, source).await?;
        self.service.finish(key, size).await
    }
}

/// To an address that needs no other signature.
fn signed(
    method: Method,
    url: Url,
    headers: &[(&'static str, String)],
    payload: ExchangePayload,
) -> Exchange {
    let mut map = HeaderMap::new();
    map.insert("x-ms-version", HeaderValue::from_static(azure::VERSION));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            map.insert(HeaderName::from_static(name), value);
        }
    }
    Exchange { method, url, headers: map, payload }
}

async fn download(service: &Service, url: &Url, offset: u64) -> Result<WebResponse> {
    let range = [("x-ms-range", format!("bytes={offset}-"))];
    let headers: &[_] = if offset > 0 { &range } else { &[] };
    let make = || signed(Method::GET, url.clone(), headers, ExchangePayload::Empty);
    Ok(service.client.exchange("download", make).await?)
}

fn blob_key(digest: &BlobDigest) -> String {
    format!("buildkit-blob-1-{digest}")
}

#[async_trait]
impl CacheStore for Actions {
    async fn configs(&self) -> Result<Vec<Bytes>> {
        let reading = self.scopes.iter().map(|scope| self.config(&scope.name));
        Ok(try_join_all(reading).await?.into_iter().flatten().collect())
    }

    async fn write_config(&self, json: Bytes) -> Result<()> {
        let writable = self.scopes.iter().rev().find(|scope| scope.is_writable());
        let scope = writable.ok_or_else(|| Error::Option("token: it allows no writing".into()))?;
        let key = self.config_key(&scope.name);
        let prefix = format!("{key}#");
        let mut looks = 0;
        let mut taken = 0;
        loop {
            let newest = self.service.find(&prefix).await?;
            let newest = newest.and_then(|found| found.key.strip_prefix(&prefix)?.parse::<u64>().ok());
            let number = newest.unwrap_or(0).max(taken).saturating_add(1);
            let entry = format!("{prefix}{number}");
            match self.service.reserve(&entry).await? {
                Reserved::At(url) => {
                    let size = json.len() as u64;
                    return self.save(&entry, &url, size, Arc::new(json)).await;
                }
                // Somebody else writes it now, or died while doing so.
                Reserved::Taken if looks < LOOKS => {
                    looks += 1;
                    tokio::time::sleep(LOOK).await;
                }
                Reserved::Taken => taken = number,
            }
        }
    }

    async fn has(&self, blob: &BlobDigest) -> Result<bool> {
        Ok(self.service.find(&blob_key(blob)).await?.is_some())
    }

    async fn write(&self, descriptor: &Descriptor, source: Arc<dyn BlobSource>) -> Result<()> {
        let key = blob_key(&descriptor.digest);
        match self.service.reserve(&key).await? {
            Reserved::At(url) => self.save(&key, &url, descriptor.size, source).await,
            Reserved::Taken => Ok(()),
        }
    }

    async fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<BlobReader> {
        let source = Opened {
            service: self.service.clone(),
            key: blob_key(&descriptor.digest),
            digest: descriptor.digest,
            found: Mutex::new(None),
        };
        resume::read(Arc::new(source), self.service.client.retry(), offset, descriptor.size).await
    }
}

struct Opened {
    service: Arc<Service>,
    key: String,
    digest: BlobDigest,
    found: Mutex<Option<Found>>,
}

impl Opened {
    async fn find(&self) -> Result<Url> {
        let found = self.service.find(&self.key).await?;
        let missing = || Error::Missing { place: self.service.place(), digest: self.digest.to_string() };
        Ok(found.filter(|found| found.key == self.key).ok_or_else(missing)?.url)
    }
}

#[async_trait]
impl Reopen for Opened {
    async fn reopen(&self, offset: u64) -> Result<WebResponse> {
        let mut found = self.found.lock().await;
        let known = found.as_ref().map(|found| found.url.clone());
        let is_new = known.is_none();
        let url = match known {
            Some(url) => url,
            None => self.find().await?,
        };
        let mut response = download(&self.service, &url, offset).await?;
        let mut used = url;
        // Addresses expire.
        if matches!(response.status(), 401 | 403) && !is_new {
            used = self.find().await?;
            response = download(&self.service, &used, offset).await?;
        }
        match response.status() {
            200 | 206 => {
                *found = Some(Found { key: self.key.clone(), url: used });
                Ok(response)
            }
            _ => Err(azure::refused(&self.service.place(), "download of a blob", &response)),
        }
    }

    fn broken(&self, reason: &str) -> Error {
        let what = format!("download of {}", self.digest);
        Error::Protocol { place: self.service.place(), what, reason: reason.to_owned() }
    }
}
