//! The right to run by the measure of jobs ([`crate::JobOptions::parallelism`]).
//!
//! An execution serves every job that wants it, so it needs room in one of them, whichever has it
//! first. While its operation waits for a graph of its own, it gives the right back: those who are to
//! run there may need it.

use futures::FutureExt;
use futures::future::select_all;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::Value;
use crate::flight::Flight;

#[derive(Default)]
pub(crate) struct JobPermit(Mutex<State>);

#[derive(Default)]
struct State {
    held: Option<OwnedSemaphorePermit>,
    /// The operation runs, or is about to.
    running: bool,
    /// How many graphs the operation waits for.
    waiting: usize,
}

impl JobPermit {
    /// Returns with the right to run, or where one of the jobs that want `flight` has no limit.
    pub(crate) async fn acquire<V: Value>(&self, flight: &Flight<V>) {
        self.0.lock().running = true;
        self.take(flight).await;
    }

    async fn take<V: Value>(&self, flight: &Flight<V>) {
        let limits: Option<Vec<_>> = flight.live_jobs().iter().map(|job| job.permits.clone()).collect();
        // None, too, if all have left.
        let limits = limits.filter(|limits| !limits.is_empty());
        let held = match limits {
            Some(limits) => {
                select_all(limits.into_iter().map(|permits| permits.acquire_owned().boxed())).await.0.ok()
            }
            None => None,
        };
        let mut state = self.0.lock();
        // Or the operation has ended, or asked for another graph, since.
        if state.running && state.waiting == 0 {
            state.held = held;
        }
    }

    pub(crate) fn release_when_dropped(&self) -> Release<'_> {
        Release(self)
    }

    /// Waits for `work`, a graph that the operation asked for, without the right to run.
    pub(crate) async fn give_back_during<V: Value, T>(
        &self,
        flight: &Flight<V>,
        work: impl Future<Output = T>,
    ) -> T {
        let waiting = Waiting::begin(self);
        let outcome = work.await;
        drop(waiting);
        let (running, last) = {
            let state = self.0.lock();
            (state.running, state.waiting == 0 && state.held.is_none())
        };
        if running && last {
            self.take(flight).await;
        }
        outcome
    }
}

/// Gives the right back for good.
pub(crate) struct Release<'a>(&'a JobPermit);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.running = false;
        state.held = None;
    }
}

struct Waiting<'a>(&'a JobPermit);

impl<'a> Waiting<'a> {
    fn begin(permit: &'a JobPermit) -> Self {
        let mut state = permit.0.lock();
        state.waiting += 1;
        state.held = None;
        drop(state);
        Self(permit)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.lock().waiting -= 1;
    }
}
