//! Why steps ran, told while a build goes on and kept for later.
//!
//! ```text
//! course    one build's part: which definitions it solved, which steps began, what was found out
//! graph     definitions and the solver's traces -> the build as slipway_explain compares it
//! tell      a step that ran: compared with the nearest earlier one, its files listed
//! service   slipway.v1.Explain
//! ```
//!
//! A build that runs nothing costs one pass over its nodes before it is answered, and one row after.
//! Steps that run are explained beside their execution. The lists of files are made while the trees are
//! there, so all explanations are done before the job comes down.

pub(crate) mod course;
mod graph;
mod service;
mod tell;

use std::sync::Arc;

use parking_lot::Mutex;
use slipway_explain::History;
use tokio::sync::watch;

pub(crate) use course::Course;
pub(crate) use service::Explain;

/// What lives as long as the daemon.
pub(crate) struct Explanations {
    pub history: History,
    /// Builds that ended and are not written down yet.
    pending: watch::Sender<usize>,
    /// One build is explained at a time: it takes memory that nobody waits for.
    one: Arc<Mutex<()>>,
}

impl Explanations {
    pub(crate) fn new(history: History) -> Self {
        Self { history, pending: watch::channel(0).0, one: Arc::default() }
    }

    /// Returns when every build that has ended is written down.
    pub(crate) async fn settled(&self) {
        let mut pending = self.pending.subscribe();
        // The sender lives as long as `self`.
        let _ = pending.wait_for(|count| *count == 0).await;
    }

    fn begin(self: &Arc<Self>) -> Pending {
        self.pending.send_modify(|count| *count += 1);
        Pending(self.clone())
    }
}

/// A build that is being written down.
struct Pending(Arc<Explanations>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.send_modify(|count| *count -= 1);
    }
}
