//! Work that many may want, done at most once at a time.
//!
//! A memo runs the work as a task of its own, under the stop signal of whoever started it, and keeps
//! what came of it: a value or an error stays, a cancelled attempt is forgotten and made anew by
//! whoever comes next. Tasks of their own also mean that a graph of any depth needs no deep stack.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::interest::Stop;

pub(crate) struct Memo<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

enum Slot<T> {
    Idle,
    /// Told when the run is over.
    Running(Arc<Notify>),
    Done(Result<T>),
}

impl<T: Clone + Send + 'static> Memo<T> {
    pub(crate) fn ready(value: T) -> Self {
        Self { slot: Arc::new(Mutex::new(Slot::Done(Ok(value)))) }
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self { slot: Arc::new(Mutex::new(Slot::Done(Err(error)))) }
    }

    /// Forgets a value that turned out to be of no use: whoever comes next makes another.
    pub(crate) fn forget_if(&self, is_it: impl FnOnce(&T) -> bool) {
        let mut slot = self.slot.lock();
        if matches!(&*slot, Slot::Done(Ok(value)) if is_it(value)) {
            *slot = Slot::Idle;
        }
    }

    /// The value, if it is there.
    pub(crate) fn peek(&self) -> Option<T> {
        match &*self.slot.lock() {
            Slot::Done(Ok(value)) => Some(value.clone()),
            _ => None,
        }
    }

    /// Whether the work is over, one way or the other.
    pub(crate) fn is_done(&self) -> bool {
        matches!(&*self.slot.lock(), Slot::Done(_))
    }

    /// The error, if that is what came of it.
    pub(crate) fn failure(&self) -> Option<Error> {
        match &*self.slot.lock() {
            Slot::Done(Err(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// The value, from `work` if nobody is at it already.
    ///
    /// `work` is given `stop` and comes back soon after it is pulled; then the caller is gone too,
    /// or is the next to try.
    pub(crate) async fn get<W, F>(&self, stop: &Stop, work: W) -> Result<T>
    where
        W: Fn(Stop) -> F,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        loop {
            let over = match &mut *self.slot.lock() {
                Slot::Done(done) => return done.clone(),
                Slot::Running(over) => over.clone().notified_owned(),
                idle => {
                    let over = Arc::new(Notify::new());
                    *idle = Slot::Running(over.clone());
                    let run = Run { slot: self.slot.clone(), over: over.clone() };
                    stop.spawn(run.run(stop.clone(), work(stop.clone())));
                    over.notified_owned()
                }
            };
            // Made under the lock, so the end of the run is not missed.
            over.await;
            if stop.token.is_cancelled() {
                return Err(Error::Cancelled);
            }
        }
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { slot: Arc::new(Mutex::new(Slot::Idle)) }
    }
}

/// One run. However it ends, even with its task killed by a runtime that shuts down, the slot does
/// not stay in [`Slot::Running`].
struct Run<T> {
    slot: Arc<Mutex<Slot<T>>>,
    over: Arc<Notify>,
}

impl<T> Run<T> {
    async fn run(self, stop: Stop, work: impl Future<Output = Result<T>>) {
        let outcome = work.await;
        *self.slot.lock() = match outcome {
            Err(Error::Cancelled) if stop.token.is_cancelled() => Slot::Idle,
            outcome => Slot::Done(outcome),
        };
    }
}

impl<T> Drop for Run<T> {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        // Not of the next run, which may have begun already.
        if matches!(&*slot, Slot::Running(over) if Arc::ptr_eq(over, &self.over)) {
            *slot = Slot::Idle;
        }
        drop(slot);
        self.over.notify_waiters();
    }
}

/// A family of memos.
pub(crate) struct Memos<K, T>(Mutex<HashMap<K, Arc<Memo<T>>>>);

impl<K: Eq + Hash, T> Memos<K, T> {
    pub(crate) fn of(&self, key: K) -> Arc<Memo<T>> {
        self.0.lock().entry(key).or_default().clone()
    }
}

impl<K: Eq + Hash + Ord + Clone, T: Clone + Send + 'static> Memos<K, T> {
    /// The values that are there, in the order of their keys.
    pub(crate) fn known(&self) -> Vec<T> {
        self.entries().into_iter().map(|(_, value)| value).collect()
    }

    /// The same with their keys.
    pub(crate) fn entries(&self) -> Vec<(K, T)> {
        let memos = self.0.lock();
        let mut known: Vec<_> =
            memos.iter().filter_map(|(key, memo)| Some((key.clone(), memo.peek()?))).collect();
        drop(memos);
        known.sort_by(|(a, _), (b, _)| a.cmp(b));
        known
    }

    /// The value of `key`, if it is there.
    pub(crate) fn peek(&self, key: &K) -> Option<T> {
        self.0.lock().get(key).and_then(|memo| memo.peek())
    }

    /// Whether any of them ended in an error.
    pub(crate) fn any_failed(&self) -> bool {
        self.0.lock().values().any(|memo| memo.failure().is_some())
    }
}

impl<K, T> Default for Memos<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Runs `work` until it ends or `stop` is pulled.
pub(crate) async fn abortable<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slot of a run that was cancelled may be taken before the run is gone.
    #[test]
    fn the_end_of_one_run_does_not_end_the_next() {
        let memo = Memo::<()>::default();
        let (before, now) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let run = |over: &Arc<Notify>| Run { slot: memo.slot.clone(), over: over.clone() };
        *memo.slot.lock() = Slot::Running(now.clone());
        drop(run(&before));
        assert!(matches!(&*memo.slot.lock(), Slot::Running(_)));
        drop(run(&now));
        assert!(matches!(&*memo.slot.lock(), Slot::Idle));
    }
}
