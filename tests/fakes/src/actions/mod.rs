//! The cache of GitHub Actions, in memory: the service that knows entries, and the storage at signed addresses.
//!
//! Like the real one it keeps entries as they are: a key that was written once cannot be written again, and of
//! several that begin as asked the newest is found. Storage wants the signature of each address, and no token.

mod service;
mod storage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

type Reply = Response<Full<Bytes>>;

/// What a request asked, and with which token.
#[derive(Clone, Debug)]
pub struct Question {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    pub body_length: usize,
}

/// Serves until dropped.
pub struct FakeActions {
    state: Arc<State>,
    server: JoinHandle<()>,
}

pub(super) struct State {
    address: SocketAddr,
    pub(super) entries: Mutex<Vec<Entry>>,
    log: Mutex<Vec<Question>>,
    /// Makes addresses that were handed out earlier useless.
    pub(super) signature: Mutex<u64>,
}

pub(super) struct Entry {
    pub(super) key: String,
    pub(super) version: String,
    pub(super) blocks: BTreeMap<String, Bytes>,
    /// All of it, once it was put together.
    pub(super) bytes: Option<Bytes>,
    pub(super) finished: bool,
}

impl FakeActions {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let state = Arc::new(State {
            address: listener.local_addr()?,
            entries: Mutex::default(),
            log: Mutex::default(),
            signature: Mutex::new(1),
        });
        let server = tokio::spawn(listen(listener, state.clone()));
        Ok(Self { state, server })
    }

    /// What `url_v2` is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.state.address)
    }

    /// A job's token: it reads what the default branch wrote, and reads and writes its own.
    pub fn token(&self, branch: &str) -> String {
        let scopes = format!(
            r#"[{{"Scope":"refs/heads/main","Permission":1}},{{"Scope":"{branch}","Permission":3}}]"#
        );
        let claims = serde_json::json!({"ac": scopes, "exp": 4_102_444_800_u64, "nbf": 1});
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2lnbmVk", encode(r#"{"alg":"none"}"#), encode(&claims.to_string()))
    }

    /// Keys of finished entries, oldest first.
    pub fn keys(&self) -> Vec<String> {
        let entries = self.state.entries.lock();
        entries.iter().filter(|entry| entry.finished).map(|entry| entry.key.clone()).collect()
    }

    /// Takes `key` for somebody who never finishes it.
    pub fn take(&self, key: &str) {
        let version = service::version_of(&self.state);
        let entry = Entry { key: key.into(), version, blocks: BTreeMap::new(), bytes: None, finished: false };
        self.state.entries.lock().push(entry);
    }

    /// Addresses that were given so far stop working.
    pub fn expire(&self) {
        *self.state.signature.lock() += 1;
    }

    pub fn log(&self) -> Vec<Question> {
        self.state.log.lock().clone()
    }

    pub fn clear_log(&self) {
        self.state.log.lock().clear();
    }
}

impl Drop for FakeActions {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        let service = service_fn(move |request| answer(request, state.clone()));
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            // An error here is a connection that the client closed.
            let _closed = connection.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Reply, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    state.log.lock().push(Question {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        body_length: body.len(),
    });
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    Ok(match path.strip_prefix("/storage/") {
        Some(entry) => storage::answer(&state, &head.method, entry, query, &head.headers, body),
        None => service::answer(&state, path, header("authorization").as_deref(), &body),
    })
}

pub(super) fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    reply
}

impl State {
    /// A signed address of an entry's bytes.
    pub(super) fn signed(&self, entry: usize) -> String {
        format!("http://{}/storage/{entry}?sig=s3cret{}&se=later", self.address, self.signature.lock())
    }
}
