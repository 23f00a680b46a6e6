//! One session: an HTTP/2 client connection inside the client's stream.
//!
//! The connection is driven by hyper directly. A `tonic::transport::Channel` would add a buffer, a
//! worker task and reconnection, and costs a fifth of the throughput.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use slipway_proto::control::BytesMessage;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::health::{self, Patience};
use crate::{Error, Result, SessionStream};

const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A connected session. Cheap to clone; all clones end with the client's stream.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    id: String,
    name: String,
    shared_key: String,
    methods: HashSet<String>,
    service: SessionService,
    closed: watch::Receiver<bool>,
}

/// What the client said about itself when it connected.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    pub id: String,
    pub name: String,
    pub shared_key: String,
    /// How long it may fail to answer.
    pub patience: Patience,
    /// Method paths such as `/moby.filesync.v1.FileSync/DiffCopy`; compared without case.
    pub methods: Vec<String>,
}

impl Session {
    /// Starts HTTP/2 on the client's stream; the future drives it until the client leaves.
    pub async fn connect(
        introduction: Introduction,
        stream: SessionStream<std::result::Result<BytesMessage, Status>>,
    ) -> Result<(Self, impl Future<Output = ()> + Send)> {
        // A connection waits for the answers it was promised; only the end of its stream ends it.
        let cut = CancellationToken::new();
        let stream = stream.until(&cut);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(1 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::Connection(error.to_string()))?;
        let (close, closed) = watch::channel(false);
        let service = SessionService(sender);
        let health = service.clone();
        let methods = introduction.methods.iter().map(|method| method.to_ascii_lowercase()).collect();
        let session = Self(Arc::new(Inner {
            id: introduction.id,
            name: introduction.name.clone(),
            shared_key: introduction.shared_key,
            methods,
            service,
            closed,
        }));
        let answers = session.supports(health::METHOD);
        let drive = async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "session connection ended");
                    }
                }
                () = health::until_lost(health, introduction.patience), if answers => {
                    tracing::warn!(session = introduction.name, "the client of a session answers no more");
                }
            }
            cut.cancel();
            let _ = close.send(true);
        };
        Ok((session, drive))
    }

    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Names the client's build root, so that contexts of different projects are kept apart.
    pub fn shared_key(&self) -> &str {
        &self.0.shared_key
    }

    /// Whether the client serves `method`, for example `/moby.filesync.v1.FileSync/DiffCopy`.
    pub fn supports(&self, method: &str) -> bool {
        self.0.methods.contains(&method.to_ascii_lowercase())
    }

    pub fn is_closed(&self) -> bool {
        *self.0.closed.borrow()
    }

    /// Returns when the client has left.
    pub async fn closed(&self) {
        let mut closed = self.0.closed.clone();
        let _ = closed.wait_for(|closed| *closed).await;
    }

    pub(super) fn require(&self, method: &'static str) -> Result<SessionService> {
        if self.supports(method) { Ok(self.0.service.clone()) } else { Err(Error::Unsupported(method)) }
    }
}

/// A tower service over the one connection, as tonic's generated clients want it.
#[derive(Clone)]
pub(super) struct SessionService(http2::SendRequest<Body>);

impl tower::Service<http::Request<Body>> for SessionService {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// What generated clients put in front of a method's path; nobody resolves it.
pub(super) fn origin() -> http::Uri {
    http::Uri::from_static("http://localhost")
}
