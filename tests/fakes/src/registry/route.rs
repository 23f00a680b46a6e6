//! Which endpoint a request is for, and whether it may.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::reply::{Reply, empty, error, spoil};
use super::state::State;
use super::{FaultKind, Logged, Origin, blobs, fault, manifests, token, uploads};

/// A request whose body is in memory: blobs of tests are small.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: HashMap<String, Vec<String>>,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name)?.first().map(String::as_str)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(super) async fn answer(
    request: Request<Incoming>,
    origin: Origin,
    state: &Arc<State>,
) -> io::Result<Reply> {
    let at = record(&request, origin, state);
    let fault = fault::take(&mut state.faults.lock(), request.method().as_str(), request.uri().path());
    if let Some(FaultKind::DropRequest) = fault {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    if let Some(FaultKind::Status { status, retry_after }) = fault {
        // The body is read first: a client that is still sending would see a reset, not the status.
        let _ignored = request.into_body().collect().await;
        return Ok(finish(state, at, failure(status, retry_after)));
    }
    if let Some(FaultKind::ExpireTokens) = fault {
        state.tokens.lock().clear();
    }
    let limit = match fault {
        Some(FaultKind::DropUploadAfter(length)) => Some(length),
        _ => None,
    };
    let asked = read(request, limit).await?;
    let too_large = state.options.largest_body.is_some_and(|largest| asked.body.len() as u64 > largest);
    let reply = match origin {
        _ if too_large => error(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "request body too large"),
        Origin::Registry => registry(&asked, state),
        Origin::Storage => storage(&asked, state),
    };
    let reply = match fault {
        Some(fault) => spoil(reply, &fault).await,
        None => reply,
    };
    Ok(finish(state, at, reply))
}

fn record(request: &Request<Incoming>, origin: Origin, state: &State) -> usize {
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut log = state.log.lock();
    log.push(Logged {
        origin,
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        status: None,
        authorization: header("authorization"),
        range: header("range"),
        user_agent: header("user-agent"),
        version: format!("{:?}", request.version()),
    });
    log.len() - 1
}

/// `at` may be gone: a test clears the log whenever it likes.
fn finish(state: &State, at: usize, reply: Reply) -> Reply {
    if let Some(logged) = state.log.lock().get_mut(at) {
        logged.status = Some(reply.status().as_u16());
    }
    reply
}

fn failure(status: u16, retry_after: Option<u64>) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = if status == StatusCode::TOO_MANY_REQUESTS { "TOOMANYREQUESTS" } else { "UNKNOWN" };
    let mut reply = error(status, code, "injected fault");
    if let Some(seconds) = retry_after {
        reply.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    reply
}

async fn read(request: Request<Incoming>, limit: Option<usize>) -> io::Result<Asked> {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if limit.is_some_and(|limit| bytes.len() >= limit) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
    let mut query: HashMap<String, Vec<String>> = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
        query.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    let path = head.uri.path().to_owned();
    Ok(Asked { method: head.method, path, query, headers: head.headers, body: bytes.into() })
}

fn registry(asked: &Asked, state: &State) -> Reply {
    if asked.path == "/token" {
        return token::issue(asked, state);
    }
    let Some(rest) = asked.path.strip_prefix("/v2/") else { return empty(StatusCode::NOT_FOUND) };
    if rest.is_empty() {
        return token::check(asked, state, None).unwrap_or_else(|| empty(StatusCode::OK));
    }
    let rest = rest.strip_prefix(state.options.prefix.as_str()).unwrap_or(rest).trim_start_matches('/');
    let Some((repository, kind, name)) = split(rest) else { return empty(StatusCode::NOT_FOUND) };
    let action =
        if matches!(asked.method, Method::GET | Method::HEAD) && kind != "uploads" { "pull" } else { "push" };
    if let Some(denied) = token::check(asked, state, Some((repository, action))) {
        return denied;
    }
    match kind {
        "manifests" => manifests::answer(asked, state, repository, name),
        "blobs" => blobs::answer(asked, state, repository, name),
        _ => uploads::answer(asked, state, repository, name),
    }
}

/// `NAME/manifests/X`, `NAME/blobs/X`, `NAME/blobs/uploads/X`.
fn split(rest: &str) -> Option<(&str, &str, &str)> {
    for (separator, kind) in
        [("/blobs/uploads/", "uploads"), ("/manifests/", "manifests"), ("/blobs/", "blobs")]
    {
        if let Some((repository, name)) = rest.split_once(separator) {
            return Some((repository, kind, name));
        }
    }
    None
}

/// The other host: knows nothing of accounts.
fn storage(asked: &Asked, state: &State) -> Reply {
    let Some((repository, kind, name)) = asked.path.strip_prefix("/storage/").and_then(split) else {
        return empty(StatusCode::NOT_FOUND);
    };
    match kind {
        "blobs" => blobs::serve(asked, state, repository, name),
        _ => uploads::answer(asked, state, repository, name),
    }
}
