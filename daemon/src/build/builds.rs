//! Builds by their id, while they run; what they told, a moment longer.
//!
//! Clients call `Solve` and `Status` at the same time: whoever asks for a build that is not there waits a
//! little for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use slipway_model::llb::VertexDigest;
use slipway_solver::Job;
use slipway_worker::Value;
use slipway_worker::ops::Scope;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::journal::Journal;
use crate::bridge::Conversation;
use crate::engine::Engine;
use crate::explain::Course;
use crate::memory;

/// How long a build that was named is waited for.
const ARRIVAL: Duration = Duration::from_secs(3);
/// How long an ended build can still be watched.
const AFTERLIFE: Duration = Duration::from_secs(3);

/// What a build tells those who watch it. It keeps nothing of what was built.
pub(crate) struct Watched {
    pub journal: Arc<Journal>,
    pub course: Arc<Course>,
}

/// A build under way.
pub(crate) struct Build {
    pub id: String,
    pub session: String,
    pub journal: Arc<Journal>,
    pub course: Arc<Course>,
    /// The same, for watchers.
    pub watched: Arc<Watched>,
    pub job: Job<Value>,
    pub scope: Scope,
    /// Pulled when the client gives up or the daemon ends.
    pub stop: CancellationToken,
    /// With the client, where it is the frontend itself.
    pub client: Arc<Conversation>,
    pub started: SystemTime,
    pub resolved: super::images::Resolved,
    /// Steps whose cache mounts were emptied.
    pub renewed: Mutex<HashSet<VertexDigest>>,
    /// Caches from elsewhere, of which the job makes use.
    pub imports: Arc<super::caches::Imports>,
    /// Cache mounts that come from there, and go with exported caches.
    pub mounts: Arc<super::caches::Mounts>,
}

#[derive(Default)]
pub(crate) struct Builds {
    known: Mutex<HashMap<String, Known>>,
    changed: watch::Sender<()>,
}

struct Known {
    build: Weak<Build>,
    watched: Weak<Watched>,
}

impl Builds {
    pub(crate) fn insert(&self, build: &Arc<Build>) -> Result<(), Status> {
        {
            let mut known = self.known.lock();
            known.retain(|_, known| known.watched.strong_count() > 0);
            if known.contains_key(&build.id) {
                return Err(Status::already_exists(format!("build {:?} exists already", build.id)));
            }
            let (weak, watched) = (Arc::downgrade(build), Arc::downgrade(&build.watched));
            known.insert(build.id.clone(), Known { build: weak, watched });
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// The build as it can be watched, if it is there now.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Watched>> {
        self.known.lock().get(id).and_then(|known| known.watched.upgrade())
    }

    /// The build itself, if it has not ended.
    pub(crate) async fn get(&self, id: &str) -> Result<Arc<Build>, Status> {
        self.watch(id).await?;
        let found = self.known.lock().get(id).and_then(|known| known.build.upgrade());
        found.ok_or_else(|| not_found(id))
    }

    pub(crate) async fn watch(&self, id: &str) -> Result<Arc<Watched>, Status> {
        let mut changed = self.changed.subscribe();
        let found = tokio::time::timeout(ARRIVAL, async {
            loop {
                changed.borrow_and_update();
                if let Some(watched) = self.find(id) {
                    return watched;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        });
        found.await.map_err(|_| not_found(id))
    }

    /// Lets watchers that are late still hear of `build`, then forgets it. What it held for itself, results among
    /// it, is let go now.
    pub(crate) fn retire(engine: Arc<Engine>, build: Arc<Build>) {
        let watched = build.watched.clone();
        drop(build);
        tokio::spawn(async move {
            tokio::time::sleep(AFTERLIFE).await;
            drop(watched);
            if !engine.builds.are_running() {
                tokio::task::spawn_blocking(move || rest(&engine));
            }
        });
    }

    /// Stops everything.
    pub(crate) fn stop_all(&self) {
        for build in self.known.lock().values().filter_map(|known| known.build.upgrade()) {
            build.stop.cancel();
        }
    }

    pub(crate) fn are_running(&self) -> bool {
        let known = self.known.lock();
        known.values().filter_map(|known| known.watched.upgrade()).any(|build| !build.journal.is_closed())
    }
}

fn not_found(id: &str) -> Status {
    Status::not_found(format!("no such job {id}"))
}

/// Nothing is built: makes the daemon small.
fn rest(engine: &Engine) {
    if let Err(error) = engine.store.rest() {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "what is in memory could not be written down"
        );
    }
    memory::give_back();
}
