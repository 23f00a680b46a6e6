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

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) struct Interest {
    /// Counted under the lock of `signal`; a channel so that [`Self::settle`] can watch it.
    wanted: watch::Sender<usize>,
    signal: Mutex<CancellationToken>,
    tasks: TaskTracker,
}

/// The end of one epoch of interest, and where the tasks that heed it are counted.
#[derive(Clone)]
pub(crate) struct Stop {
    pub(crate) token: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

pub(crate) struct Held {
    interest: Arc<Interest>,
    pub(crate) stop: Stop,
}

impl Interest {
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        let signal = self.signal.lock();
        self.wanted.send_modify(|count| *count += 1);
        Held { interest: self.clone(), stop: Stop { token: signal.clone(), tasks: self.tasks.clone() } }
    }

    /// Waits until nobody wants this any more and what ran for it has come down; says whether that
    /// was so from the start. Where `others` say that they want it, it is theirs to wait for.
    pub(crate) async fn settle(&self, others: impl Fn() -> bool) -> bool {
        let mut wanted = self.wanted.subscribe();
        let mut quiet = true;
        loop {
            let count = *wanted.borrow_and_update();
            if count == 0 && self.tasks.is_empty() || count > 0 && others() {
                return quiet;
            }
            quiet = false;
            tokio::select! {
                () = self.tasks.wait(), if count == 0 => {}
                _ = wanted.changed() => {}
            }
        }
    }
}

impl Default for Interest {
    fn default() -> Self {
        let tasks = TaskTracker::new();
        tasks.close(); // so that waiting ends as soon as it is empty; it takes tasks all the same
        Self { wanted: watch::Sender::new(0), signal: Mutex::default(), tasks }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut signal = self.interest.signal.lock();
        let mut left = 0;
        self.interest.wanted.send_modify(|count| {
            *count -= 1;
            left = *count;
        });
        let ended = (left == 0).then(|| std::mem::take(&mut *signal));
        drop(signal);
        if let Some(ended) = ended {
            ended.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_is_pulled_when_the_last_one_leaves() {
        let interest = Arc::new(Interest::default());
        let (first, second) = (interest.hold(), interest.hold());
        let stop = first.stop.token.clone();
        drop(first);
        assert!(!stop.is_cancelled());
        drop(second);
        assert!(stop.is_cancelled());
        assert!(!interest.hold().stop.token.is_cancelled(), "a new epoch begins");
    }
}
