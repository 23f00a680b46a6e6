//! The embedded worker: store, runtime and sessions, as operations use them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use slipway_model::{Digest, Redacted};
use slipway_run::{Executor, Network};
use slipway_session::caller::{AgentSocket, Sessions, SocketAccess};
use slipway_solver::{OpResult, Permit};
use slipway_store::content_hash::{self, Selector};
use slipway_store::snapshot::copy_tree_from;
use slipway_store::{PrepareOptions, Ref, Store};
use tokio::sync::Semaphore;

use crate::blocking::blocking;
use crate::contents::Contents;
use crate::devices::Devices;
use crate::digests::Digests;
use crate::ops::exec::LogLimits;
use crate::platforms::Platforms;
use crate::source::answers::Answers;
use crate::{Error, Images, Result, Value};

/// In the state directory: sockets of agents and the like, each for as long as one operation uses it.
const PASSING: &str = "passing";

/// What a worker is made of.
pub struct WorkerOptions {
    pub store: Store,
    pub executor: Arc<dyn Executor>,
    pub sessions: Arc<Sessions>,
    pub images: Images,
    pub answers: Answers,
    pub default_network: Network,
    pub devices: Devices,
    /// How many operations run at once; `None` is no limit.
    pub max_parallelism: Option<usize>,
    /// What one step may say.
    pub log_limits: LogLimits,
    pub platforms: Platforms,
}

pub struct Worker {
    pub store: Store,
    pub executor: Arc<dyn Executor>,
    pub sessions: Arc<Sessions>,
    pub images: Images,
    pub answers: Answers,
    pub default_network: Network,
    pub devices: Devices,
    pub log_limits: LogLimits,
    pub platforms: Platforms,
    pub(crate) digests: Arc<Digests>,
    pub(crate) contents: Contents,
    permits: Option<Arc<Semaphore>>,
    /// How often room was made on a full disk, and by whom right now.
    pub(crate) room_made: AtomicU64,
    pub(crate) making_room: Mutex<()>,
}

impl Worker {
    pub fn new(options: WorkerOptions) -> Self {
        // Of a daemon that was killed; if they stay, they only take room.
        let _ = std::fs::remove_dir_all(options.store.root().join(PASSING));
        let digests = Arc::new(Digests::default());
        let forgetful = digests.clone();
        options.store.on_removed(move |removed| forgetful.forget(removed));
        Self {
            digests,
            contents: Contents::default(),
            store: options.store,
            executor: options.executor,
            sessions: options.sessions,
            images: options.images,
            answers: options.answers,
            default_network: options.default_network,
            devices: options.devices,
            log_limits: options.log_limits,
            platforms: options.platforms,
            permits: options.max_parallelism.map(|limit| Arc::new(Semaphore::new(limit.max(1)))),
            room_made: AtomicU64::new(0),
            making_room: Mutex::default(),
        }
    }

    /// The right to run an operation.
    pub(crate) async fn permit(&self) -> OpResult<Permit> {
        match &self.permits {
            None => Ok(Permit::none()),
            Some(permits) => Ok(Permit::holding(permits.clone().acquire_owned().await?)),
        }
    }

    /// A name for a process that nobody else has.
    pub(crate) fn new_id(&self) -> Result<String> {
        let mut bytes = [0; 12];
        getrandom::fill(&mut bytes).map_err(|error| Error::Failed(format!("no random numbers: {error}")))?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The secret `id` of a build of `sessions`.
    pub(crate) async fn secret(&self, sessions: &[String], id: &str) -> Result<Option<Redacted<Vec<u8>>>> {
        let session = self.sessions.any(sessions).await?;
        Ok(session.secret(id).await?)
    }

    /// A socket that leads to the SSH agent `id` of a build of `sessions`; the empty id is `default`.
    pub(crate) async fn agent(
        &self,
        sessions: &[String],
        id: &str,
        access: SocketAccess,
    ) -> Result<AgentSocket> {
        let id = if id.is_empty() { "default" } else { id };
        let session = self.sessions.any(sessions).await?;
        session.check_agent(id).await?;
        Ok(session.agent_socket(id, &self.passing_file()?, access)?)
    }

    /// A free path in the state directory for what ends with one operation, at the latest with the daemon.
    pub(crate) fn passing_file(&self) -> Result<PathBuf> {
        let folder = self.store.root().join(PASSING);
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::io(format!("cannot make {}", folder.display()), error))?;
        Ok(folder.join(self.new_id()?))
    }

    /// `value` as something to build on; `None` is scratch. A client's directory is copied first.
    pub fn snapshot_of(&self, value: &Value) -> Result<Option<Ref>> {
        match value.real()? {
            Value::Scratch | Value::Lazy(_) => Ok(None),
            Value::Snapshot(snapshot) => Ok(Some(snapshot.clone())),
            Value::Context(context) => {
                let copy = self.store.prepare(None, described("copy of a client's directory"))?;
                copy_tree_from(context.mount()?.root(), &copy.upper_dir())?;
                Ok(Some(copy.commit()?))
            }
        }
    }

    /// The digest of what `selectors` select in `value`.
    pub(crate) async fn content_digest(&self, value: Value, selectors: Arc<Vec<Selector>>) -> Result<Digest> {
        let (digests, looked_at, wanted) = (self.digests.clone(), value.clone(), selectors.clone());
        let digest = blocking(move || match looked_at.real()? {
            Value::Scratch | Value::Lazy(_) => Ok(content_hash::checksum_of_scratch(&selectors)?),
            Value::Snapshot(snapshot) => digests.of(snapshot, &selectors),
            Value::Context(context) => context.content_digest(&selectors),
        })
        .await
        .map_err(|error| match error {
            Error::Content(source) => Error::Checksum { of: name_of(&value), source },
            other => other,
        })?;
        self.contents.note(digest, &value, &wanted);
        Ok(digest)
    }
}

/// For errors.
fn name_of(value: &Value) -> String {
    match value {
        Value::Snapshot(snapshot) => snapshot.id().to_string(),
        Value::Context(_) => "of-the-context".into(),
        Value::Scratch | Value::Lazy(_) => "of-a-cache".into(),
    }
}

/// A snapshot to be, as `du` will show it.
pub(crate) fn described(description: &str) -> PrepareOptions {
    PrepareOptions { description: description.to_owned(), ..PrepareOptions::default() }
}
