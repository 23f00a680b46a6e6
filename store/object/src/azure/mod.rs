//! Azure Blob Storage, with the account's shared key.
//!
//! | option | else |
//! |---|---|
//! | `account_url` | `$BUILDKIT_AZURE_STORAGE_ACCOUNT_URL` of the daemon |
//! | `account_name` | `$BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME`, the first part of the URL's host |
//! | `secret_access_key` | (needed: base64, as the portal shows it) |
//! | `container` (made if it is not there) | `$BUILDKIT_AZURE_STORAGE_CONTAINER`, `buildkit-cache` |
//! | `prefix`, `blobs_prefix`, `manifests_prefix` | `$BUILDKIT_AZURE_STORAGE_PREFIX` or nothing, `blobs`, `manifests` |
//! | `name` (several by `;`: all are written, all are read) | `buildkit` |
//!
//! Absent: identities of Azure (service principals, managed ones): they are refused with a word.

pub(crate) mod blocks;
mod sign;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use slipway_model::{Descriptor, Redacted};
use slipway_registry::{BlobReader, BlobSource, Client, Exchange, ExchangePayload, WebResponse};
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use url::Url;

use crate::cache_store::LARGEST_CONFIG;
use crate::named::{Named, Objects};
use crate::resume::{self, Reopen};
use crate::{Error, Options, Result};

/// The version of the protocol that is spoken.
pub(crate) const VERSION: &str = "2021-12-02";
/// Says why a request was refused.
pub(crate) const ERROR_CODE: &str = "x-ms-error-code";

#[derive(Clone)]
pub struct AzureOptions {
    account: String,
    /// Bytes.
    key: Redacted<Vec<u8>>,
    /// Up to the container's name.
    url: Url,
    container: String,
    blobs: String,
    manifests: String,
    names: Vec<String>,
}

impl AzureOptions {
    pub fn take(options: &mut Options<'_>) -> Result<Self> {
        let variable = "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL";
        let text = options.take_or_variable("account_url", variable);
        let text = text.ok_or_else(|| {
            Error::Option(format!("account_url is missing: give it, or {variable} to the daemon"))
        })?;
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.filter(|url| url.has_host() && url.query().is_none() && url.username().is_empty());
        let url = url.ok_or_else(|| {
            Error::Option("account_url is no address like https://NAME.blob.core.windows.net".into())
        })?;
        let account = options.take_or_variable("account_name", "BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME");
        let host = url.host_str().unwrap_or_default();
        let account = account.unwrap_or_else(|| host.split('.').next().unwrap_or_default().to_owned());
        let key = options.take("secret_access_key").ok_or_else(|| {
            let reason =
                "secret_access_key is missing: signing in with an identity of Azure is not supported";
            Error::Option(reason.into())
        })?;
        let key = BASE64_STANDARD
            .decode(key)
            .map_err(|_| Error::Option("secret_access_key is not base64".into()))?;
        let container = options.take_or_variable("container", "BUILDKIT_AZURE_STORAGE_CONTAINER");
        let prefix = options.take_or_variable("prefix", "BUILDKIT_AZURE_STORAGE_PREFIX").unwrap_or_default();
        let blobs = options.take_text("blobs_prefix", "blobs");
        let manifests = options.take_text("manifests_prefix", "manifests");
        Ok(Self {
            account,
            key: Redacted::new(key),
            url,
            container: container.unwrap_or_else(|| "buildkit-cache".into()),
            blobs: folder(&prefix, &blobs),
            manifests: folder(&prefix, &manifests),
            names: options.take_names(),
        })
    }
}

impl AzureOptions {
    /// The container, for people.
    fn place(&self) -> String {
        format!("{}/{}/", self.url.as_str().trim_end_matches('/'), self.container)
    }

    /// The cache, for people.
    pub fn name(&self) -> String {
        format!("{}{}{}", self.place(), self.manifests, self.names.join(";"))
    }
}

/// Parts of a path joined, with a `/` at the end unless there is none.
fn folder(prefix: &str, name: &str) -> String {
    let parts = [prefix, name].map(|part| part.split('/').filter(|part| !part.is_empty() && *part != "."));
    parts.into_iter().flatten().map(|part| format!("{part}/")).collect()
}

/// A cache in a container.
pub fn open(client: &Client, options: AzureOptions) -> Named {
    let (blobs, manifests, names) = (options.blobs.clone(), options.manifests.clone(), options.names.clone());
    let read = names.len();
    let inner = Inner { client: client.clone(), options, made: OnceCell::new() };
    Named { objects: Box::new(Container(Arc::new(inner))), blobs, manifests, names, read }
}

#[derive(Clone)]
struct Container(Arc<Inner>);

struct Inner {
    client: Client,
    options: AzureOptions,
    /// Set when the container is known to be there.
    made: OnceCell<()>,
}

impl Container {
    fn place(&self) -> String {
        self.0.options.place()
    }

    /// `object` is empty for the container itself.
    fn url(&self, object: &str, query: &[(&str, &str)]) -> Url {
        let AzureOptions { url, container, .. } = &self.0.options;
        let mut url = url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(container).extend(object.split('/').filter(|part| !part.is_empty()));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// A signed request.
    fn exchange(
        &self,
        method: Method,
        url: Url,
        headers: &[(&'static str, String)],
        payload: ExchangePayload,
    ) -> Exchange {
        let AzureOptions { account, key, .. } = &self.0.options;
        let mut all: Vec<(&str, String)> = headers.to_vec();
        all.push(("x-ms-version", VERSION.into()));
        all.push(("x-ms-date", sign::date(OffsetDateTime::now_utc())));
        let authorization = sign::authorization(account, key, method.as_str(), &url, &all, &payload);
        let mut map = HeaderMap::new();
        for (name, value) in all {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                map.insert(name, value);
            }
        }
        if let Ok(mut value) = HeaderValue::try_from(authorization) {
            value.set_sensitive(true);
            map.insert(AUTHORIZATION, value);
        }
        Exchange { method, url, headers: map, payload }
    }

    async fn send(
        &self,
        what: &str,
        method: Method,
        url: Url,
        headers: &[(&'static str, String)],
    ) -> Result<WebResponse> {
        let make = || self.exchange(method.clone(), url.clone(), headers, ExchangePayload::Empty);
        Ok(self.0.client.exchange(what, make).await?)
    }

    /// Makes the container unless it is there.
    async fn ensure(&self) -> Result<()> {
        let made = self.0.made.get_or_try_init(|| async {
            let query = [("restype", "container")];
            let response = self.send("look-up", Method::GET, self.url("", &query), &[]).await?;
            if response.status() == 200 {
                return Ok(());
            }
            if code(&response) != "ContainerNotFound" {
                return Err(refused(&self.place(), "look-up of the container", &response));
            }
            let response = self.send("creation", Method::PUT, self.url("", &query), &[]).await?;
            match (response.status(), code(&response).as_str()) {
                (201, _) | (_, "ContainerAlreadyExists") => Ok(()),
                _ => Err(refused(&self.place(), "creation of the container", &response)),
            }
        });
        made.await.copied()
    }

    async fn get(&self, object: &str, offset: u64) -> Result<Option<WebResponse>> {
        let range = [("x-ms-range", format!("bytes={offset}-"))];
        let headers: &[_] = if offset > 0 { &range } else { &[] };
        let response = self.send("download", Method::GET, self.url(object, &[]), headers).await?;
        match response.status() {
            200 | 206 => Ok(Some(response)),
            404 => Ok(None),
            _ => Err(refused(&self.place(), "download", &response)),
        }
    }
}

fn code(response: &WebResponse) -> String {
    response.header(ERROR_CODE).unwrap_or_default().to_owned()
}

/// The error that an answer of Azure is.
pub(crate) fn refused(place: &str, what: &str, response: &WebResponse) -> Error {
    Error::Refused {
        place: place.to_owned(),
        what: what.to_owned(),
        status: http::StatusCode::from_u16(response.status()).unwrap_or_default(),
        code: code(response),
        message: String::new(),
    }
}

#[async_trait]
impl Objects for Container {
    fn name(&self) -> String {
        self.place()
    }

    async fn keep(&self, object: &str) -> Result<bool> {
        self.ensure().await?;
        let response = self.send("look-up", Method::HEAD, self.url(object, &[]), &[]).await?;
        match response.status() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(refused(&self.place(), "look-up", &response)),
        }
    }

    async fn small(&self, object: &str) -> Result<Option<Bytes>> {
        match self.get(object, 0).await? {
            Some(response) => Ok(Some(response.read(LARGEST_CONFIG).await?)),
            None => Ok(None),
        }
    }

    async fn open(&self, object: &str, offset: u64, size: u64) -> Result<Option<BlobReader>> {
        let source = Arc::new(Opened { container: self.clone(), object: object.to_owned() });
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
        fixed: bool,
    ) -> Result<()> {
        self.ensure().await?;
        let make = |query: &[(&str, &str)], headers: &[(&'static str, String)], payload| {
            self.exchange(Method::PUT, self.url(object, query), headers, payload)
        };
        let place = self.place();
        let target = blocks::Target { client: &self.0.client, place: &place, make: &make, fixed };
        blocks::upload(&target, descriptor.size, source).await
    }
}

struct Opened {
    container: Container,
    object: String,
}

#[async_trait]
impl Reopen for Opened {
    async fn reopen(&self, offset: u64) -> Result<WebResponse> {
        let found = self.container.get(&self.object, offset).await?;
        found.ok_or_else(|| Error::Missing { place: self.container.place(), digest: self.object.clone() })
    }

    fn broken(&self, reason: &str) -> Error {
        let what = format!("download of {}", self.object);
        Error::Protocol { place: self.container.place(), what, reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn taken(text: &str) -> Result<AzureOptions> {
        let fields = text.split(',').filter_map(|field| field.split_once('='));
        let mut map: BTreeMap<String, String> =
            fields.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        AzureOptions::take(&mut Options { take: &mut |name| map.remove(name), environment: &|_| None })
    }

    #[test]
    fn options_have_their_defaults() {
        let found = taken("account_url=https://mine.blob.core.windows.net,secret_access_key=QUJD").unwrap();
        assert_eq!((found.account.as_str(), found.container.as_str()), ("mine", "buildkit-cache"));
        assert_eq!((found.blobs.as_str(), found.manifests.as_str()), ("blobs/", "manifests/"));
        let found =
            taken("account_url=http://127.0.0.1:1/a,secret_access_key=QUJD,prefix=/x//y/,blobs_prefix=");
        let found = found.unwrap();
        assert_eq!((found.blobs.as_str(), found.manifests.as_str()), ("x/y/", "x/y/manifests/"));
        for (text, named) in [
            ("secret_access_key=QUJD", "account_url"),
            ("account_url=x,secret_access_key=QUJD", "account_url"),
            ("account_url=https://a.b", "secret_access_key"),
            ("account_url=https://a.b,secret_access_key=?", "base64"),
        ] {
            let error = taken(text).err().unwrap_or_else(|| panic!("{text}")).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
