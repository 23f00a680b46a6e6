//! How many requests one host sees at a time.
//!
//! Registries throttle, and many streams share one line: four transfers per host and direction.
//! Small answers (manifests, configs) have a place of their own, so that no build waits for its
//! first manifest behind somebody's layers. Pushing and pulling are counted apart: a push may read
//! what it sends out of a pull, and would otherwise wait for itself.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Pull,
    Push,
    /// Manifests and whatever else is small.
    Small,
}

pub(crate) struct Limits {
    transfers: usize,
    hosts: Mutex<HashMap<(String, Lane), Arc<Semaphore>>>,
}

impl Limits {
    pub(crate) fn new(transfers: usize) -> Self {
        Self { transfers: transfers.max(1), hosts: Mutex::default() }
    }

    /// Waits for a place; it is given back when the permit is dropped.
    pub(crate) async fn enter(&self, host: &str, lane: Lane) -> Option<OwnedSemaphorePermit> {
        let semaphore =
            self.hosts.lock().entry((host.to_owned(), lane)).or_insert_with(|| self.lane()).clone();
        // Only a closed semaphore gives no permit, and nobody closes these.
        semaphore.acquire_owned().await.ok()
    }

    fn lane(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(self.transfers))
    }
}
