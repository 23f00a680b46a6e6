//! What builds were there, what they said, and what came of them.
//!
//! A build has one record (`BuildHistoryRecord`), a row in the metadata database, and *content*: files named by
//! their digest that the record points to. Clients read the content through containerd's content service.
//!
//! | in the record | content | media type |
//! |---|---|---|
//! | `logs` | all statuses of the build, framed (see [`frames`]) | `application/vnd.buildkit.status.v0` |
//! | `trace` | spans of the build and its steps, made on demand | `application/vnd.buildkit.otlp.json.v0` |
//! | `externalError` | the `google.rpc.Status` with its details | `application/vnd.googeapis.google.rpc.status+proto` (so spelled) |
//! | `trace` | spans of the build and of all it did, as JSON ([`trace`]) | `application/vnd.buildkit.otlp.json.v0` |
//! | `Result.Results` | index, manifests and configs of what was exported | that of the image |
//!
//! ```text
//! <root>/history/sha256/    content
//!                spool/     what running builds say, while they say it
//! ```
//!
//! # Why it has files of its own
//!
//! Pruning must not take what history points to, and what history takes is no build cache: `du` does not count it,
//! `prune --all` leaves nothing in `du`. So the manifests of a result (kilobytes) are copied here, and blobs of layers
//! are only named: they can be read for as long as the cache has them.
//!
//! # The life of a record
//!
//! 1. [`History::begin`] writes the row, without an end, and makes the spool.
//! 2. What the build says goes to the spool ([`spool`]), a file in the form of the log. Nothing of it stays in memory.
//! 3. [`Recording::complete`] gives the spool its name as content, and the row its end.
//!
//! A daemon that is killed leaves rows without an end. [`recover`] ends them at the next start, with what is in
//! their spool, as failed. Rows are written after the files they name, and files that no row names are removed at the
//! next start; after a power loss rows of epochs that were not durable go (see `slipway_store::metadata`).
//!
//! # Limits
//!
//! A record goes when it is beyond the newest [`Limits::entries`] *and* older than [`Limits::age`], unless it is
//! pinned ([`limits`]). Secrets are never in it ([`redact`]).

mod content;
mod error;
mod filter;
mod frames;
mod limits;
mod listen;
mod recording;
mod recover;
pub(crate) mod redact;
mod replay;
mod results;
mod spool;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod trace;
mod update;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use slipway_proto::control::{BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord};
use slipway_store::{Metadata, Store};
use tokio::sync::broadcast;

pub(crate) use content::ContentInfo;
use content::HistoryContent;
use error::Result;
pub(crate) use filter::Filter;
pub use limits::Limits;
pub(crate) use recording::{Outcome, Recording, Started};
pub(crate) use replay::Log;
pub(crate) use spool::Spool;
pub(crate) use trace::Untraced;

/// Events that a listener may be behind.
const BACKLOG: usize = 1024;

/// The history of one store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct History {
    inner: Arc<Inner>,
}

struct Inner {
    metadata: Metadata,
    store: Store,
    content: HistoryContent,
    limits: Limits,
    /// Locked before the database, never the other way round. Whoever tells of a change holds it, so that a
    /// listener hears of everything once: it reads what is there and joins under this lock.
    state: Mutex<State>,
    /// Told when a record has its trace, or will have none.
    traced: Condvar,
    events: broadcast::Sender<Arc<BuildHistoryEvent>>,
}

#[derive(Default)]
struct State {
    /// Builds that run.
    active: BTreeMap<String, Active>,
    /// How many listen to one build alone.
    listened: HashMap<String, usize>,
    /// Deleted, but still listened to.
    deleted: HashSet<String>,
    /// Their builds have ended, and their traces are being made.
    untraced: HashSet<String>,
}

/// A build that runs, and what counts its steps.
struct Active {
    record: BuildHistoryRecord,
    spool: Arc<Spool>,
}

impl Active {
    /// Its record, with what has been done so far.
    fn record(&self) -> BuildHistoryRecord {
        let mut record = self.record.clone();
        self.spool.note_steps(&mut record);
        record
    }
}

impl History {
    pub(crate) fn open(store: &Store, limits: Limits) -> Result<Self> {
        let metadata = store.metadata().clone();
        metadata.migrate("history", table::STEPS)?;
        let inner = Inner {
            content: HistoryContent::open(&store.root().join("history"))?,
            metadata,
            store: store.clone(),
            limits,
            state: Mutex::default(),
            traced: Condvar::new(),
            events: broadcast::channel(BACKLOG).0,
        };
        let history = Self { inner: Arc::new(inner) };
        history.recover()?;
        history.enforce_limits()?;
        Ok(history)
    }
}

impl Inner {
    fn tell(&self, kind: BuildHistoryEventType, record: BuildHistoryRecord) {
        // Nobody listens: fine.
        let _ = self.events.send(Arc::new(BuildHistoryEvent { r#type: kind.into(), record: Some(record) }));
    }
}
