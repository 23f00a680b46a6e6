//! A file of a web server: `http://…` and `https://…`.
//!
//! ```text
//! cache_map   a checksum is demanded ──────────────────────────────> its key, nobody is asked
//!             else ask, with what is remembered of the last answer ─> 304, or the same tag: the old snapshot
//!                                                                  └> 200: body ─> hash and snapshot, in one pass
//! exec        the snapshot found above; else the download, which must have the demanded checksum
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `filename` | what the file is called |
//! | `remembered` | what is known of an earlier answer, kept beside its snapshot |
//!
//! Absent: OpenPGP signatures of files (`http.sig.*`) are refused.

mod filename;
mod remembered;

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use slipway_model::Digest;
use slipway_model::llb::pb;
use slipway_registry::{WebRequest, WebResponse};
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult};
use slipway_store::Ref;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::sync::OnceCell;
use url::Url;

use super::credentials_of_url;
use super::save::{File, mode, owner, save};
use crate::ops::cache_key::source::HttpIdentifier;
use crate::{Error, Result, Value, Worker};
use filename::file_name;
use remembered::Remembered;

pub(crate) struct HttpOp {
    worker: Arc<Worker>,
    identifier: HttpIdentifier,
    url: Url,
    /// Without user names and passwords.
    shown: String,
    /// Asked once for each vertex.
    resolved: OnceCell<Resolved>,
}

/// What the address turned out to be.
#[derive(Clone)]
struct Resolved {
    digest: Digest,
    filename: String,
    modified: Option<OffsetDateTime>,
    /// `None` if nobody was asked yet.
    snapshot: Option<Ref>,
}

impl HttpOp {
    pub(crate) fn new(worker: Arc<Worker>, source: &pb::SourceOp) -> Result<Self> {
        let identifier = HttpIdentifier::parse(source).map_err(|error| Error::Failed(error.to_string()))?;
        if identifier.signature.is_some() {
            return Err(Error::Unsupported("checking the OpenPGP signature of a download".into()));
        }
        let shown = credentials_of_url::hidden(&identifier.url);
        let url = Url::parse(&identifier.url)
            .map_err(|error| Error::Failed(format!("invalid address {shown:?}: {error}")))?;
        Ok(Self { worker, identifier, url, shown, resolved: OnceCell::new() })
    }

    async fn resolved(&self, ctx: &OpContext<Value>) -> Result<&Resolved> {
        self.resolved.get_or_try_init(|| self.resolve(ctx)).await
    }

    async fn resolve(&self, ctx: &OpContext<Value>) -> Result<Resolved> {
        if let Some(digest) = self.identifier.checksum {
            let filename = file_name(&self.url, &self.identifier.filename, None);
            return Ok(Resolved { digest, filename, modified: None, snapshot: None });
        }
        let known = Remembered::find(&self.worker.store, &self.identifier)?;
        let mut request = self.request(ctx).await?;
        if let Some((remembered, _)) = &known {
            ask_whether_changed(&mut request.headers, remembered);
        }
        let response = self.ask(&request).await?;
        if let Some((remembered, snapshot)) = known
            && remembered.is_answered_by(&response)
        {
            return Ok(Resolved {
                digest: remembered.digest,
                filename: remembered.filename,
                modified: remembered.modified.as_deref().and_then(http_date),
                snapshot: Some(snapshot),
            });
        }
        self.keep(response).await
    }

    /// The demanded file: of an earlier download, or downloaded now.
    async fn demanded(&self, ctx: &OpContext<Value>, demanded: Digest) -> Result<Ref> {
        if let Some((remembered, snapshot)) = Remembered::find(&self.worker.store, &self.identifier)?
            && remembered.digest == demanded
        {
            return Ok(snapshot);
        }
        let response = self.ask(&self.request(ctx).await?).await?;
        let kept = self.keep(response).await?;
        match kept.snapshot {
            Some(snapshot) if kept.digest == demanded => Ok(snapshot),
            _ => Err(Error::Failed(format!(
                "{}: digest mismatch {}: {demanded}: the file is not the one that was asked for",
                self.shown, kept.digest
            ))),
        }
    }

    async fn ask(&self, request: &WebRequest) -> Result<WebResponse> {
        let response = self.worker.images.web().web(request).await.map_err(|error| self.broken(error))?;
        match response.status() {
            200..400 => Ok(response),
            status => Err(Error::Failed(format!("{}: invalid response status {status}", self.shown))),
        }
    }

    /// Reads the body into a snapshot and remembers what came with it.
    async fn keep(&self, response: WebResponse) -> Result<Resolved> {
        if !(200..300).contains(&response.status()) {
            let status = response.status();
            return Err(Error::Failed(format!("{}: invalid response status {status}", self.shown)));
        }
        let identifier = &self.identifier;
        let filename = file_name(&self.url, &identifier.filename, response.header("content-disposition"));
        let mut remembered = Remembered::of(&response, filename.clone());
        let modified = remembered.modified.as_deref().and_then(http_date);
        let file = File {
            name: filename.clone(),
            mode: mode(identifier.mode),
            uid: owner(identifier.uid)?,
            gid: owner(identifier.gid)?,
            modified,
        };
        let pieces = futures::stream::try_unfold(response, move |mut response: WebResponse| async move {
            let piece = response.next_piece().await.map_err(|error| self.broken(error))?;
            Ok(piece.map(|piece| (piece, response)))
        });
        let description = format!("http url {}", self.shown);
        let (snapshot, digest) = save(&self.worker.store, pieces, file, description).await?;
        remembered.digest = digest;
        remembered.keep(&snapshot, &self.identifier)?;
        Ok(Resolved { digest, filename, modified, snapshot: Some(snapshot) })
    }

    async fn request(&self, ctx: &OpContext<Value>) -> Result<WebRequest> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.identifier.headers {
            let name: HeaderName =
                name.parse().map_err(|_| Error::Failed(format!("invalid header {name}")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| Error::Failed(format!("the header {name} has a value that cannot be sent")))?;
            headers.insert(name, value);
        }
        Ok(WebRequest { url: self.url.clone(), headers, authorization: self.authorization(ctx).await? })
    }

    /// The secret that is named, or that the client keeps for this host.
    async fn authorization(&self, ctx: &OpContext<Value>) -> Result<Option<HeaderValue>> {
        let named = &self.identifier.auth_header_secret;
        let sessions = ctx.sessions();
        if !named.is_empty() {
            let secret = self.worker.secret(&sessions, named).await?;
            let failed = || Error::Failed(format!("failed to retrieve HTTP auth secret {named}: not found"));
            return authorization_of("", secret.ok_or_else(failed)?.expose()).map(Some);
        }
        let host = self.url.host_str().unwrap_or_default();
        for (name, scheme) in [("HTTP_AUTH_TOKEN_", "Bearer "), ("HTTP_AUTH_HEADER_", "")] {
            // A client that keeps no secrets has none for this host.
            if let Ok(Some(secret)) = self.worker.secret(&sessions, &format!("{name}{host}")).await {
                return authorization_of(scheme, secret.expose()).map(Some);
            }
        }
        Ok(None)
    }

    fn broken(&self, source: slipway_registry::Error) -> Error {
        Error::Download { url: self.shown.clone(), source: Box::new(source) }
    }
}

#[async_trait]
impl Op<Value> for HttpOp {
    async fn cache_map(&self, ctx: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        let resolved = self.resolved(ctx).await?;
        let key = self.identifier.key(&resolved.filename, &resolved.digest, resolved.modified);
        let mut map = CacheMap::new(OpDigest(key.digest), 0);
        map.resolved = Some(resolved.digest.to_string().into());
        Ok(map)
    }

    async fn exec(&self, ctx: &OpContext<Value>, _: Vec<Value>) -> OpResult<Vec<Value>> {
        let resolved = self.resolved(ctx).await?.clone();
        if let Some(snapshot) = resolved.snapshot {
            return Ok(vec![Value::Snapshot(snapshot)]);
        }
        tokio::select! {
            () = ctx.stop.cancelled() => Err(Error::Cancelled.into()),
            snapshot = self.demanded(ctx, resolved.digest) => Ok(vec![Value::Snapshot(snapshot?)]),
        }
    }
}

fn authorization_of(scheme: &str, secret: &[u8]) -> Result<HeaderValue> {
    let value = [scheme.as_bytes(), secret.trim_ascii()].concat();
    let mut value = HeaderValue::from_bytes(&value)
        .map_err(|_| Error::Failed(format!("the secret for {AUTHORIZATION} is no header")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn ask_whether_changed(headers: &mut HeaderMap, remembered: &Remembered) {
    let validator = match (&remembered.etag, &remembered.modified) {
        (Some(etag), _) => Some((IF_NONE_MATCH, etag)),
        (None, Some(modified)) => Some((IF_MODIFIED_SINCE, modified)),
        (None, None) => None,
    };
    // They were headers once, so they can be again.
    if let Some((name, value)) = validator
        && let Ok(value) = HeaderValue::from_str(value)
    {
        headers.insert(name, value);
    }
}

/// RFC 9110, section 5.6.7, whose preferred form is an RFC 2822 date with its zone spelled GMT.
fn http_date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()
}
