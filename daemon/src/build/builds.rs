//! Builds by their id, while they run and a moment after.
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

/// A build under way.
pub(crate) struct Build {
    pub id: String,
    pub session: String,
    pub journal: Arc<Journal>,
    pub course: Arc<Course>,
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
    known: Mutex<HashMap<String, Weak<Build>>>,
    changed: watch::Sender<()>,
}

impl Builds {
    pub(crate) fn insert(&self, build: &Arc<Build>) -> Result<(), Status> {
        {
            let mut known = self.known.lock();
            known.retain(|_, build| build.strong_count() > 0);
            if known.contains_key(&build.id) {
                return Err(Status::already_exists(format!("build {:?} exists already", build.id)));
            }
            known.insert(build.id.clone(), Arc::downgrade(build));
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// The build, if it is there now.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Build>> {
        self.known.lock().get(id).and_then(Weak::upgrade)
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Arc<Build>, Status> {
        let mut changed = self.changed.subscribe();
        let found = tokio::time::timeout(ARRIVAL, async {
            loop {
                changed.borrow_and_update();
                if let Some(build) = self.find(id) {
                    return build;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        });
        found.await.map_err(|_| Status::not_found(format!("no such job {id}")))
    }

    /// Lets watchers that are late still have `build`, then forgets it.
    pub(crate) fn retire(engine: Arc<Engine>, build: Arc<Build>) {
        tokio::spawn(async move {
            tokio::time::sleep(AFTERLIFE).await;
            drop(build);
            if !engine.builds.are_running() {
                tokio::task::spawn_blocking(move || rest(&engine));
            }
        });
    }

    /// Stops everything.
    pub(crate) fn stop_all(&self) {
        for build in self.known.lock().values().filter_map(Weak::upgrade) {
            build.stop.cancel();
        }
    }

    pub(crate) fn are_running(&self) -> bool {
        self.known.lock().values().filter_map(Weak::upgrade).any(|build| !build.journal.is_closed())
    }
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
