//! A file of a web server: `http://…` and `https://…`.
//!
//! ```text
//! cache_map   a checksum is demanded ──────────────────────────────> its key, nobody is asked
//!             a tag is remembered: ask for the headers alone ───────> 304, or the same tag: the old snapshot
//!             else ask, with what is remembered of the last answer ─> the same
//!                                                                  ├> 200: body ─> hash and snapshot, in one pass
//!                                                                  └> nobody answers: the old snapshot, and a warning
//! exec        the snapshot found above; else the download, which must have the demanded checksum
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `body` | where bytes come from: a server, which may compress them, or the client's session (`http://buildkit-session/<id>`) |
//! | `date` | dates in headers |
//! | `filename` | what the file is called |
//! | `remembered` | what is known of an earlier answer, kept beside its snapshot |
//!
//! Absent: OpenPGP signatures of files (`http.sig.*`) are refused.

mod body;
mod date;
mod filename;
mod remembered;

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
};
use slipway_model::Digest;
use slipway_model::llb::pb;
use slipway_registry::{WebRequest, WebResponse};
use slipway_session::caller::UPLOAD_HOST;
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult, with_causes};
use slipway_store::Ref;
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use super::answers::{PATIENCE, warn};
use super::credentials_of_url;
use super::of_build::BuildSources;
use super::save::{File, mode, owner, save};
use crate::ops::cache_key::source::HttpIdentifier;
use crate::{Error, Result, Value, Worker};
use body::Body;
use date::http_date;
use filename::file_name;
use remembered::Remembered;

pub(crate) struct HttpOp {
    file: WebFile,
    build: Arc<BuildSources>,
    /// Asked once for each vertex.
    resolved: OnceCell<Resolved>,
}

/// A file, and how it is asked for.
pub(crate) struct WebFile {
    worker: Arc<Worker>,
    identifier: HttpIdentifier,
    url: Url,
    /// Without user names and passwords.
    shown: String,
}

/// What the address turned out to be.
#[derive(Clone)]
pub(crate) struct Resolved {
    pub(crate) digest: Digest,
    pub(crate) filename: String,
    pub(crate) modified: Option<OffsetDateTime>,
    /// `None` if nobody was asked yet.
    pub(crate) snapshot: Option<Ref>,
    /// Why it is the file of before: nobody answered.
    pub(crate) remembered: Option<Arc<str>>,
}

impl HttpOp {
    pub(crate) fn new(worker: Arc<Worker>, build: Arc<BuildSources>, source: &pb::SourceOp) -> Result<Self> {
        Ok(Self { file: WebFile::new(worker, source)?, build, resolved: OnceCell::new() })
    }

    async fn resolved(&self, ctx: &OpContext<Value>) -> Result<&Resolved> {
        let resolve = || async {
            let resolved = self.file.resolve(&self.build, ctx.sessions()).await?;
            warn(ctx, resolved.remembered.as_deref());
            Ok(resolved)
        };
        self.resolved.get_or_try_init(resolve).await
    }
}

impl WebFile {
    pub(crate) fn new(worker: Arc<Worker>, source: &pb::SourceOp) -> Result<Self> {
        let identifier = HttpIdentifier::parse(source).map_err(|error| Error::Failed(error.to_string()))?;
        if identifier.signature.is_some() {
            return Err(Error::Unsupported("checking the OpenPGP signature of a download".into()));
        }
        let shown = credentials_of_url::hidden(&identifier.url);
        let url = Url::parse(&identifier.url)
            .map_err(|error| Error::Failed(format!("invalid address {shown:?}: {error}")))?;
        Ok(Self { worker, identifier, url, shown })
    }

    /// What is there; asked once for each build. A demanded checksum is believed, and nobody asked.
    pub(crate) async fn resolve(&self, build: &BuildSources, sessions: Vec<String>) -> Result<Resolved> {
        let question = remembered::name(&self.identifier);
        if self.url.host_str() == Some(UPLOAD_HOST) {
            return build.files.get(&question, || self.upload(&sessions)).await;
        }
        if let Some(digest) = self.identifier.checksum {
            let filename = file_name(&self.url, &self.identifier.filename, None);
            return Ok(Resolved { digest, filename, modified: None, snapshot: None, remembered: None });
        }
        build.files.get(&question, || self.resolve_now(sessions, build.must_ask())).await
    }

    async fn resolve_now(&self, sessions: Vec<String>, must_ask: bool) -> Result<Resolved> {
        let known = Remembered::find(&self.worker.store, &self.identifier)?;
        let mut request = self.request(&sessions).await?;
        let Some((remembered, snapshot)) = known else {
            return self.keep(self.ask(&request).await?).await;
        };
        ask_whether_changed(&mut request.headers, &remembered);
        let deadline = Instant::now() + PATIENCE;
        // Some servers give tags and do not compare them: they would send the whole file again.
        let headers = match remembered.etag {
            Some(_) => self.headers_alone(&request, deadline).await,
            None => None,
        };
        let answer = match headers.filter(|answer| remembered.is_answered_by(answer)) {
            Some(answer) => Ok(answer),
            None if must_ask => Ok(self.ask(&request).await?),
            None => self.ask_until(&request, deadline).await?,
        };
        let reason = match answer {
            Ok(response) if !remembered.is_answered_by(&response) => return self.keep(response).await,
            Ok(_) => None,
            Err(reason) => Some(format!("{} is used as it was downloaded last: {reason}", self.shown).into()),
        };
        Ok(Resolved {
            digest: remembered.digest,
            filename: remembered.filename,
            modified: remembered.modified.as_deref().and_then(http_date),
            snapshot: Some(snapshot),
            remembered: reason,
        })
    }

    /// The file itself, if [`resolve`](Self::resolve) has not brought it along.
    pub(crate) async fn fetch(&self, resolved: &Resolved, sessions: &[String]) -> Result<Ref> {
        match &resolved.snapshot {
            Some(snapshot) => Ok(snapshot.clone()),
            None => self.demanded(sessions, resolved.digest).await,
        }
    }

    /// What the client itself offers under that address; nobody else can be asked for it again.
    async fn upload(&self, sessions: &[String]) -> Result<Resolved> {
        let session = self.worker.sessions.any(sessions).await?;
        let body = Body::Upload(Box::new(session.upload(self.url.path()).await?));
        let filename = file_name(&self.url, &self.identifier.filename, None);
        let file = self.file(&filename, None)?;
        let (snapshot, digest) = self.save(body, file).await?;
        match self.identifier.checksum.filter(|demanded| *demanded != digest) {
            Some(demanded) => Err(Error::Failed(format!(
                "{}: digest mismatch {digest}: {demanded}: the upload is not the one that was asked for",
                self.shown
            ))),
            None => {
                let (modified, remembered) = (None, None);
                Ok(Resolved { digest, filename, modified, snapshot: Some(snapshot), remembered })
            }
        }
    }

    /// The file to make of a body.
    fn file(&self, name: &str, modified: Option<OffsetDateTime>) -> Result<File> {
        Ok(File {
            name: name.to_owned(),
            mode: mode(self.identifier.mode),
            uid: owner(self.identifier.uid)?,
            gid: owner(self.identifier.gid)?,
            modified,
        })
    }

    async fn save(&self, body: Body, file: File) -> Result<(Ref, Digest)> {
        let pieces = body.pieces(self.shown.clone());
        save(&self.worker.store, pieces, file, format!("http url {}", self.shown)).await
    }

    /// The demanded file: of an earlier download, or downloaded now.
    async fn demanded(&self, sessions: &[String], demanded: Digest) -> Result<Ref> {
        if let Some((remembered, snapshot)) = Remembered::find(&self.worker.store, &self.identifier)?
            && remembered.digest == demanded
        {
            return Ok(snapshot);
        }
        let response = self.ask(&self.request(sessions).await?).await?;
        let kept = self.keep(response).await?;
        match kept.snapshot {
            Some(snapshot) if kept.digest == demanded => Ok(snapshot),
            _ => Err(Error::Failed(format!(
                "{}: digest mismatch {}: {demanded}: the file is not the one that was asked for",
                self.shown, kept.digest
            ))),
        }
    }

    /// `None` if there is no answer, or a refusal: the file itself may still be had.
    async fn headers_alone(&self, request: &WebRequest, deadline: Instant) -> Option<WebResponse> {
        let request = WebRequest { method: Method::HEAD, ..request.clone() };
        let answer = tokio::time::timeout_at(deadline, self.worker.images.web().web(&request)).await;
        answer.ok()?.ok()
    }

    /// The answer, or why there is none: for who has another.
    async fn ask_until(
        &self,
        request: &WebRequest,
        deadline: Instant,
    ) -> Result<Result<WebResponse, String>> {
        match tokio::time::timeout_at(deadline, self.worker.images.web().web(request)).await {
            // A proxy that does not reach the server.
            Ok(Ok(response)) if matches!(response.status(), 502..=504) => {
                Ok(Err(format!("the answer has status {}", response.status())))
            }
            Ok(Ok(response)) => Ok(Ok(self.accepted(response)?)),
            Ok(Err(error @ slipway_registry::Error::Unreachable { .. })) => Ok(Err(with_causes(&error))),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Ok(Err(format!("no answer within {} seconds", PATIENCE.as_secs()))),
        }
    }

    async fn ask(&self, request: &WebRequest) -> Result<WebResponse> {
        self.accepted(self.worker.images.web().web(request).await.map_err(|error| self.broken(error))?)
    }

    fn accepted(&self, response: WebResponse) -> Result<WebResponse> {
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
        let file = self.file(&filename, modified)?;
        let (snapshot, digest) = self.save(Body::of(response), file).await?;
        remembered.digest = digest;
        remembered.keep(&snapshot, &self.identifier)?;
        Ok(Resolved { digest, filename, modified, snapshot: Some(snapshot), remembered: None })
    }

    async fn request(&self, sessions: &[String]) -> Result<WebRequest> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.identifier.headers {
            let name: HeaderName =
                name.parse().map_err(|_| Error::Failed(format!("invalid header {name}")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| Error::Failed(format!("the header {name} has a value that cannot be sent")))?;
            headers.insert(name, value);
        }
        // Servers that hold the file compressed send it like that to everybody; some tags are only for who says this.
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        let authorization = self.authorization(sessions).await?;
        Ok(WebRequest { method: Method::GET, url: self.url.clone(), headers, authorization })
    }

    /// The secret that is named, or that the client keeps for this host.
    async fn authorization(&self, sessions: &[String]) -> Result<Option<HeaderValue>> {
        let named = &self.identifier.auth_header_secret;
        if !named.is_empty() {
            let secret = self.worker.secret(sessions, named).await?;
            let failed = || Error::Failed(format!("failed to retrieve HTTP auth secret {named}: not found"));
            return authorization_of("", secret.ok_or_else(failed)?.expose()).map(Some);
        }
        let host = self.url.host_str().unwrap_or_default();
        for (name, scheme) in [("HTTP_AUTH_TOKEN_", "Bearer "), ("HTTP_AUTH_HEADER_", "")] {
            // A client that keeps no secrets has none for this host.
            if let Ok(Some(secret)) = self.worker.secret(sessions, &format!("{name}{host}")).await {
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
        let key = self.file.identifier.key(&resolved.filename, &resolved.digest, resolved.modified);
        let mut map = CacheMap::new(OpDigest(key.digest), 0);
        map.resolved = Some(resolved.digest.to_string().into());
        Ok(map)
    }

    async fn exec(&self, ctx: &OpContext<Value>, _: Vec<Value>) -> OpResult<Vec<Value>> {
        let resolved = self.resolved(ctx).await?;
        let sessions = ctx.sessions();
        tokio::select! {
            () = ctx.stop.cancelled() => Err(Error::Cancelled.into()),
            snapshot = self.file.fetch(resolved, &sessions) => Ok(vec![Value::Snapshot(snapshot?)]),
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
