//! A client's directory: `local://NAME`.
//!
//! ```text
//! exec   session --files--> a directory of ours, kept by (client, name, what was asked for)
//! ```
//!
//! Only the session that offers a directory can name it, so its key never persists; what consumers
//! match is its content. The received directory is kept for the next build, which then is sent only
//! what changed; while a build uses it, another one that would receive into it gets a second one.
//!
//! [`kept`] is the directory and what is known of it.

mod kept;

use std::sync::Arc;

use async_trait::async_trait;
pub use kept::Context;
use kept::Kept;
use slipway_model::Digest;
use slipway_model::llb::pb;
use slipway_model::pattern::PatternMatcher;
use slipway_session::caller::{Session, SyncRequest};
use slipway_session::fsutil::{ReceiveOptions, Wanting};
use slipway_solver::progress::Status;
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult};

use crate::blocking::blocking;
use crate::ops::cache_key::source::LocalIdentifier;
use crate::{Error, Result, Value, Worker};

pub(crate) struct LocalOp {
    worker: Arc<Worker>,
    identifier: LocalIdentifier,
    /// The files to send where only metadata is sent.
    wanted: Arc<PatternMatcher>,
}

impl LocalOp {
    pub(crate) fn new(worker: Arc<Worker>, name: &str, source: &pb::SourceOp) -> Result<Self> {
        let identifier =
            LocalIdentifier::parse(name, source).map_err(|error| Error::Failed(error.to_string()))?;
        let wanted = identifier.metadata_exceptions.iter().flatten();
        let wanted = PatternMatcher::new(wanted).map_err(|error| Error::Failed(error.to_string()))?;
        Ok(Self { worker, identifier, wanted: Arc::new(wanted) })
    }

    async fn session(&self, ctx: &OpContext<Value>) -> Result<Session> {
        let ids = match &self.identifier.session {
            Some(session) => vec![session.clone()],
            None => ctx.sessions(),
        };
        Ok(self.worker.sessions.any(&ids).await?)
    }

    /// Which of our directories: the client's build root, the name, and everything that was asked for.
    fn directory_key(&self, session: &Session) -> String {
        let LocalIdentifier { name, shared_key_hint, include, exclude, follow, .. } = &self.identifier;
        let LocalIdentifier { metadata_only, metadata_exceptions, .. } = &self.identifier;
        let asked = format!("{include:?}{exclude:?}{follow:?}{metadata_only}{metadata_exceptions:?}");
        let asked = Digest::of(asked);
        format!("{name}\n{shared_key_hint}\n{}\n{}", session.shared_key(), asked.hex())
    }

    fn request(&self) -> SyncRequest {
        SyncRequest {
            name: self.identifier.name.clone(),
            include: self.identifier.include.clone().unwrap_or_default(),
            exclude: self.identifier.exclude.clone().unwrap_or_default(),
            follow: self.identifier.follow.clone().unwrap_or_default(),
        }
    }

    fn only(&self) -> Option<Wanting> {
        let wanted = self.wanted.clone();
        let is_wanted = move |path: &str| !wanted.is_empty() && wanted.matches(path).unwrap_or(false);
        self.identifier.metadata_only.then(|| Arc::new(is_wanted) as Wanting)
    }

    async fn receive(&self, ctx: &OpContext<Value>, session: &Session) -> Result<Context> {
        let description = format!("local source for {}", self.identifier.name);
        let key = self.directory_key(session);
        let directory = self.worker.store.source_directory(&key, &description).await?;
        let mut kept = blocking(move || Kept::open(directory)).await?;
        let transfer = Arc::new(Transfer::new(ctx, &self.identifier.name));
        let telling = transfer.clone();
        let options = ReceiveOptions {
            index: std::mem::take(&mut kept.index),
            before_change: Some(kept.forget()),
            always: self.identifier.always_differ,
            only: self.only(),
            hasher: Some(Arc::new(|stat| kept::header(stat).map(|header| header.hasher()))),
            progress: Some(Arc::new(move |bytes| telling.at(bytes))),
            ..ReceiveOptions::default()
        };
        let received = tokio::select! {
            () = ctx.stop.cancelled() => return Err(Error::Cancelled),
            received = session.sync(self.request(), kept.root()?, options) => received?,
        };
        transfer.done();
        blocking(move || kept.into_context(&received)).await
    }
}

#[async_trait]
impl Op<Value> for LocalOp {
    async fn cache_map(&self, ctx: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        let session = self.session(ctx).await?;
        let key = self.identifier.key(session.id());
        let mut map = CacheMap::new(OpDigest(key.digest), 0);
        map.persistent = key.persistent;
        Ok(map)
    }

    async fn exec(&self, ctx: &OpContext<Value>, _: Vec<Value>) -> OpResult<Vec<Value>> {
        let session = self.session(ctx).await?;
        let context = self.receive(ctx, &session).await?;
        Ok(vec![Value::Context(Arc::new(context))])
    }
}

/// Clients look for this name to tell transfers from other work.
const ACTION: &str = "transferring";

/// Tells the build how much has come, a few times a second, and when that is all.
struct Transfer {
    ctx: OpContext<Value>,
    id: String,
    started: std::time::SystemTime,
    told: parking_lot::Mutex<Told>,
}

#[derive(Default)]
struct Told {
    at: Option<std::time::Instant>,
    /// Bytes that have come, told or not.
    bytes: u64,
}

impl Transfer {
    fn new(ctx: &OpContext<Value>, name: &str) -> Self {
        let (ctx, id) = (ctx.clone(), format!("{ACTION} {name}:"));
        Self { ctx, id, started: std::time::SystemTime::now(), told: Default::default() }
    }

    fn at(&self, bytes: u64) {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(150);
        let mut told = self.told.lock();
        told.bytes = bytes;
        if told.at.is_none_or(|at| at.elapsed() >= PAUSE) {
            told.at = Some(std::time::Instant::now());
            self.tell(bytes, None);
        }
    }

    /// Nothing is said of a transfer of nothing.
    fn done(&self) {
        let bytes = self.told.lock().bytes;
        if bytes > 0 {
            self.tell(bytes, Some(std::time::SystemTime::now()));
        }
    }

    fn tell(&self, current: u64, completed: Option<std::time::SystemTime>) {
        let (id, started) = (self.id.clone(), Some(self.started));
        let name = ACTION.to_owned();
        self.ctx.status(Status { id, name, current, started, completed, ..Status::default() });
    }
}
