//! When the rules are applied: soon after builds, from time to time, and once after the start.
//!
//! A build that ends asks for a collection; it begins when none has ended for [`QUIET`], at the latest after
//! [`LATEST`]. After one that took long the next waits in proportion, so that collecting never takes more than a
//! small part of a processor. It runs on a thread that may block, and ends in the middle when the daemon does.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slipway_store::{PruneOptions, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::memory;
use crate::telemetry::Metrics;

/// Without another end of a build, a collection begins.
const QUIET: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(10);
/// Ages pass without builds, too.
const PERIOD: Duration = Duration::from_secs(600);
/// A pause is so many times as long as what it follows.
const PAUSE: u32 = 10;

pub(crate) struct Collector {
    rules: Vec<PruneOptions>,
    metrics: Arc<Metrics>,
    asked: Notify,
    stop: CancellationToken,
}

impl Collector {
    pub(crate) fn new(rules: Vec<PruneOptions>, metrics: Arc<Metrics>) -> Self {
        Self { rules, metrics, asked: Notify::new(), stop: CancellationToken::new() }
    }

    pub(crate) fn rules(&self) -> &[PruneOptions] {
        &self.rules
    }

    /// Something was built.
    pub(crate) fn ask(&self) {
        self.asked.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Collects until told to stop; then returns when the work has come down.
    pub(crate) async fn run(self: Arc<Self>, store: Store) {
        if self.rules.is_empty() {
            return;
        }
        self.ask();
        while self.next().await {
            let started = Instant::now();
            let (collector, store) = (self.clone(), store.clone());
            // A panic in it was reported where it happened.
            let _ = tokio::task::spawn_blocking(move || collector.collect(&store)).await;
            self.pause(started.elapsed() * PAUSE).await;
        }
    }

    /// Waits for the next turn; `false` if there is none.
    async fn next(&self) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => return false,
            () = tokio::time::sleep(PERIOD) => return true,
            () = self.asked.notified() => {}
        }
        let latest = tokio::time::Instant::now() + LATEST;
        loop {
            let quiet = (tokio::time::Instant::now() + QUIET).min(latest);
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep_until(quiet) => return true,
                () = self.asked.notified() => {}
            }
        }
    }

    async fn pause(&self, length: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(length) => {}
        }
    }

    fn collect(&self, store: &Store) {
        let (mut records, mut bytes, began) = (0_usize, 0_u64, Instant::now());
        for rule in &self.rules {
            let collected = store.prune_to(rule, |removed| {
                records += removed.len();
                bytes += removed.iter().map(|record| record.size).sum::<u64>();
                if self.stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if let Err(error) = collected {
                tracing::warn!(error = &error as &dyn std::error::Error, "garbage collection failed");
                break;
            }
        }
        self.metrics.collected(records, bytes, began.elapsed());
        if records > 0 {
            tracing::info!(records, bytes, "garbage collected");
            memory::give_back();
        }
    }
}
