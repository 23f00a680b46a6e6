//! The service that knows the entries: three questions, JSON over POST.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway_model::{Digest, Redacted};
use slipway_registry::{Client, Exchange, ExchangePayload};
use url::Url;

use crate::{Error, Result};

const LARGEST_ANSWER: u64 = 1 << 20;
/// Entries are told apart by a version, too. This is the one that BuildKit's are of: the digest of these bytes.
const VERSION_OF: &[u8] = b"|go-actionscache-1.0";

pub(super) struct Service {
    pub(super) client: Client,
    url: Url,
    token: Redacted<String>,
    timeout: Duration,
}

/// An entry. Its address holds a signature.
pub(super) struct Found {
    pub(super) key: String,
    pub(super) url: Url,
}

pub(super) enum Reserved {
    /// Where to write.
    At(Url),
    /// Somebody wrote it, or does so now.
    Taken,
}

impl Service {
    pub(super) fn new(client: Client, url: Url, token: Redacted<String>, timeout: Duration) -> Self {
        Self { client, url, token, timeout }
    }

    pub(super) fn place(&self) -> String {
        format!("the cache of GitHub Actions at {}", self.url.host_str().unwrap_or_default())
    }

    /// The newest entry whose key begins with `key`.
    pub(super) async fn find(&self, key: &str) -> Result<Option<Found>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            ok: bool,
            #[serde(default)]
            signed_download_url: String,
            #[serde(default)]
            matched_key: String,
        }
        let question = json!({"key": key, "restore_keys": [key], "version": version()});
        let what = "GetCacheEntryDownloadURL";
        let answer: Answer = match self.ask(what, &question).await? {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_not_found() => return Ok(None),
            Err(refusal) => return Err(self.refused(what, refusal)),
        };
        if !answer.ok || !answer.matched_key.starts_with(key) {
            return Ok(None);
        }
        let url = self.address(what, &answer.signed_download_url)?;
        Ok(Some(Found { key: answer.matched_key, url }))
    }

    pub(super) async fn reserve(&self, key: &str) -> Result<Reserved> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            ok: bool,
            #[serde(default)]
            signed_upload_url: String,
        }
        let what = "CreateCacheEntry";
        match self.ask::<Answer>(what, &json!({"key": key, "version": version()})).await? {
            Ok(answer) if answer.ok => Ok(Reserved::At(self.address(what, &answer.signed_upload_url)?)),
            Ok(_) => Ok(Reserved::Taken),
            Err(refusal) if refusal.is_taken() => Ok(Reserved::Taken),
            Err(refusal) => Err(self.refused(what, refusal)),
        }
    }

    pub(super) async fn finish(&self, key: &str, size: u64) -> Result<()> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            ok: bool,
        }
        let what = "FinalizeCacheEntryUpload";
        // 64-bit numbers are texts in this API's JSON.
        let question = json!({"key": key, "size_bytes": size.to_string(), "version": version()});
        match self.ask::<Answer>(what, &question).await? {
            Ok(answer) if answer.ok => Ok(()),
            Ok(_) => Err(self.protocol(what, "the entry was not finished")),
            Err(refusal) => Err(self.refused(what, refusal)),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, question: &Value) -> Result<Result<T, Refusal>> {
        let base = self.url.as_str().trim_end_matches('/');
        let url = format!("{base}/twirp/github.actions.results.api.v1.CacheService/{method}");
        let url = Url::parse(&url).map_err(|_| self.protocol(method, "its address is none"))?;
        let body = Bytes::from(question.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let authorization = HeaderValue::try_from(format!("Bearer {}", self.token.expose()));
        let mut authorization = authorization.map_err(|_| Error::Option("token is no token".into()))?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        let make = || Exchange {
            method: Method::POST,
            url: url.clone(),
            headers: headers.clone(),
            payload: ExchangePayload::Bytes(body.clone()),
        };
        let asking = tokio::time::timeout(self.timeout, self.client.exchange(method, make));
        let seconds = self.timeout.as_secs();
        let response = asking.await.map_err(|_| Error::Timeout {
            place: self.place(),
            what: method.to_owned(),
            seconds,
        })??;
        let status = response.status();
        let body = response.read(LARGEST_ANSWER).await?;
        if status != 200 {
            let told: Told = serde_json::from_slice(&body).unwrap_or_default();
            return Ok(Err(Refusal { status, told }));
        }
        let answer = serde_json::from_slice(&body);
        answer.map(Ok).map_err(|_| self.protocol(method, "it is not the JSON that it should be"))
    }

    /// An address with a signature in it, which no error repeats.
    fn address(&self, what: &str, text: &str) -> Result<Url> {
        let url =
            Url::parse(text).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
        url.ok_or_else(|| self.protocol(what, "it names no address"))
    }

    fn protocol(&self, what: &str, reason: &str) -> Error {
        Error::Protocol { place: self.place(), what: what.to_owned(), reason: reason.to_owned() }
    }

    fn refused(&self, what: &str, refusal: Refusal) -> Error {
        Error::Refused {
            place: self.place(),
            what: what.to_owned(),
            status: http::StatusCode::from_u16(refusal.status).unwrap_or_default(),
            code: refusal.told.code,
            message: refusal.told.msg,
        }
    }
}

struct Refusal {
    status: u16,
    told: Told,
}

/// An error as the API words it.
#[derive(Default, Deserialize)]
struct Told {
    #[serde(default)]
    code: String,
    #[serde(default, alias = "message")]
    msg: String,
}

impl Refusal {
    fn is_not_found(&self) -> bool {
        self.status == 404 || self.told.code == "not_found"
    }

    fn is_taken(&self) -> bool {
        self.status == 409 || self.told.code == "already_exists"
    }
}

fn version() -> String {
    let digest = Digest::of(VERSION_OF).to_string();
    digest.strip_prefix("sha256:").unwrap_or_default().to_owned()
}
