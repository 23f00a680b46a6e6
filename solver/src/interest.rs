//! Who still wants this?
//!
//! Interest is held in a whole (a vertex, an execution, a load), not in one question about it. So
//! going from a small question to a bigger one never looks like leaving, as long as the second is
//! asked before the first is dropped.
//!
//! ```text
//! hold     count + 1, and the stop signal of the present epoch
//! drop     count - 1; at zero the signal is pulled and a new epoch begins
//! settle   wait until what ran under pulled signals has come down
//! ```

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::executor::Executor;

pub(crate) struct Interest {
    executor: Arc<dyn Executor>,
    state: Mutex<State>,
    /// Told when `wanted` changes, and when `tasks` falls to zero.
    changed: Notify,
}

#[derive(Default)]
struct State {
    wanted: usize,
    tasks: usize,
    /// Made by the first of an epoch: most vertices of a big graph wait for nobody most of the time.
    signal: Option<CancellationToken>,
}

/// The end of one epoch of interest, and the door for tasks that heed it.
#[derive(Clone)]
pub(crate) struct Stop {
    pub(crate) token: CancellationToken,
    interest: Arc<Interest>,
}

pub(crate) struct Held {
    pub(crate) stop: Stop,
}

impl Interest {
    pub(crate) fn new(executor: &Arc<dyn Executor>) -> Arc<Self> {
        Arc::new(Self { executor: executor.clone(), state: Mutex::default(), changed: Notify::new() })
    }

    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        let mut state = self.state.lock();
        state.wanted += 1;
        let token = state.signal.get_or_insert_default().clone();
        drop(state);
        self.changed.notify_waiters();
        Held { stop: Stop { token, interest: self.clone() } }
    }

    /// Waits until nobody wants this any more and what ran for it has come down; says whether that
    /// was so from the start. Where `others` say that they want it, it is theirs to wait for.
    pub(crate) async fn settle(&self, others: impl Fn() -> bool) -> bool {
        let mut quiet = true;
        loop {
            // Made before the look, so that no change after it is missed.
            let changed = self.changed.notified();
            let (wanted, tasks) = {
                let state = self.state.lock();
                (state.wanted, state.tasks)
            };
            if wanted == 0 && tasks == 0 || wanted > 0 && others() {
                return quiet;
            }
            quiet = false;
            changed.await;
        }
    }
}

impl Stop {
    /// Runs `work` as a task that [`Interest::settle`] waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.interest.state.lock().tasks += 1;
        let counted = Counted(self.interest.clone());
        self.interest.executor.spawn(Box::pin(async move {
            let _counted = counted; // dropped after `work`
            work.await;
        }));
    }
}

/// A task that is not over.
struct Counted(Arc<Interest>);

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.tasks -= 1;
        let last = state.tasks == 0;
        drop(state);
        if last {
            self.0.changed.notify_waiters();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let interest = &self.stop.interest;
        let mut state = interest.state.lock();
        state.wanted -= 1;
        let ended = if state.wanted == 0 { state.signal.take() } else { None };
        drop(state);
        interest.changed.notify_waiters();
        if let Some(ended) = ended {
            ended.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Tokio;

    #[test]
    fn the_signal_is_pulled_when_the_last_one_leaves() {
        let executor: Arc<dyn Executor> = Arc::new(Tokio);
        let interest = Interest::new(&executor);
        let (first, second) = (interest.hold(), interest.hold());
        let stop = first.stop.token.clone();
        drop(first);
        assert!(!stop.is_cancelled());
        drop(second);
        assert!(stop.is_cancelled());
        assert!(!interest.hold().stop.token.is_cancelled(), "a new epoch begins");
    }
}
