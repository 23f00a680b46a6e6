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
//! Beside the directory lies the *index*: what the last transfer left in it. It is removed before a
//! transfer and written after it, so a directory without an index holds an unknown rest of a broken
//! transfer and is emptied first.

use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use slipway_model::llb::pb;
use slipway_model::mount::Tree;
use slipway_model::{Digest, llb};
use slipway_session::caller::{Session, SyncRequest};
use slipway_session::fsutil::{ReceiveOptions, Received};
use slipway_solver::progress::Status;
use slipway_solver::{CacheMap, Op, OpContext, OpDigest, OpResult};
use slipway_store::content_hash::{self, ContentCache, Selector};
use slipway_store::{Mounted, NamedMount};

use crate::ops::cache_key::source::LocalIdentifier;
use crate::{Error, Result, Value, Worker};

pub(crate) struct LocalOp {
    worker: Arc<Worker>,
    identifier: LocalIdentifier,
}

impl LocalOp {
    pub(crate) fn new(worker: Arc<Worker>, name: &str, source: &pb::SourceOp) -> Result<Self> {
        let identifier =
            LocalIdentifier::parse(name, source).map_err(|error| Error::Failed(error.to_string()))?;
        if identifier.metadata_only {
            return Err(Error::Unsupported("sending only the metadata of a local directory".into()));
        }
        Ok(Self { worker, identifier })
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
        let asked = format!("{include:?}{exclude:?}{follow:?}");
        let shared = session.shared_key();
        format!("local:{name}:{shared_key_hint}:{shared}:{}", Digest::of(asked).hex())
    }

    fn request(&self) -> SyncRequest {
        SyncRequest {
            name: self.identifier.name.clone(),
            include: self.identifier.include.clone().unwrap_or_default(),
            exclude: self.identifier.exclude.clone().unwrap_or_default(),
            follow: self.identifier.follow.clone().unwrap_or_default(),
        }
    }

    async fn receive(&self, ctx: &OpContext<Value>, session: &Session) -> Result<Context> {
        let (store, key) = (self.worker.store.clone(), self.directory_key(session));
        let description = format!("local source for {}", self.identifier.name);
        let directory = blocking(move || Ok(store.named_mount(&key, &description)?)).await?;
        let (directory, root, index) = blocking(move || {
            let index = take_index(&directory)?;
            let root = directory.mount()?;
            Ok((directory, root, index))
        })
        .await?;
        let progress = transfer_progress(ctx, &self.identifier.name);
        let options = ReceiveOptions { index, progress: Some(progress), ..ReceiveOptions::default() };
        let into = root.try_clone_root()?;
        let received = tokio::select! {
            () = ctx.stop.cancelled() => return Err(Error::Cancelled),
            received = session.sync(self.request(), into, options) => received?,
        };
        blocking(move || Context::new(directory, root, received)).await
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

/// A received directory, held by one build until it is done with it.
pub struct Context {
    directory: NamedMount,
    root: Mounted,
    digests: ContentCache,
}

impl Context {
    fn new(directory: NamedMount, root: Mounted, received: Received) -> Result<Self> {
        directory.set_note(&write_index(&received.index))?;
        Ok(Self { directory, root, digests: ContentCache::default() })
    }

    pub fn tree(&self) -> Tree {
        self.directory.tree().readonly()
    }

    pub fn mount(&self) -> Result<Mounted> {
        Ok(self.directory.mount()?)
    }

    pub fn content_digest(&self, selectors: &[Selector]) -> Result<Digest> {
        Ok(content_hash::checksum_with(self.root.root(), selectors, &self.digests)?)
    }
}
