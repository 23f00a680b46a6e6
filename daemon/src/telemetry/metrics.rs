//! The numbers, and how they are called.
//!
//! | metric | labels | counts |
//! |---|---|---|
//! | `slipway_builds_total` | `status`: completed, failed, cancelled | builds that ended |
//! | `slipway_builds_running` | | builds under way |
//! | `slipway_build_seconds` | | how long builds took |
//! | `slipway_steps_total` | `kind`: ran, cached, remote (cached elsewhere), failed | steps that ended |
//! | `slipway_steps_running` | | operations under way |
//! | `slipway_steps_queued` | | operations that wait for the right to run |
//! | `slipway_phase_seconds` | `phase`: load, resolve, run, export, other | how long steps took |
//! | `slipway_solver_seconds` | `phase`: identify, digest, realize, queue, run, load, save | what the solver spent on them |
//! | `slipway_cache_bytes`, `slipway_cache_records` | `type` | what the store holds |
//! | `slipway_pruned_bytes_total`, `slipway_pruned_records_total` | | what pruning removed when it was asked for |
//! | `slipway_gc_seconds` | | garbage collections: how many, and how long they took |
//! | `slipway_gc_bytes_total`, `slipway_gc_records_total` | | what they removed |
//! | `slipway_client_connections` | | clients that are connected |
//! | `slipway_client_bytes_total` | `direction`: in, out | what clients sent and were sent |
//! | `slipway_session_bytes_total` | `direction` | of that, through sessions: files, secrets, outputs |
//! | `slipway_export_bytes_total` | | of that, results |
//! | `slipway_registry_bytes_total` | `direction` | bodies of blobs, manifests and files of the web |

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use slipway_solver::{Phase, PhaseTotal};

use super::page::Page;

#[derive(Default)]
pub(crate) struct Metrics {
    pub builds_running: AtomicI64,
    pub connections: AtomicI64,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub session_in: Counter,
    pub session_out: Counter,
    pub exported: Counter,
    pruned_bytes: Counter,
    pruned_records: Counter,
    collected_bytes: Counter,
    collected_records: Counter,
    counted: Mutex<Counted>,
}

/// Only goes up.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

#[derive(Default)]
struct Counted {
    builds: BTreeMap<&'static str, Times>,
    steps: BTreeMap<&'static str, u64>,
    phases: BTreeMap<&'static str, Times>,
    collections: Times,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) seconds: f64,
}

/// What the store holds of one type.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held {
    pub records: u64,
    pub bytes: u64,
}

/// What others count, at one moment.
#[derive(Clone, Default)]
pub(crate) struct Moment {
    pub held: BTreeMap<String, Held>,
    pub queued: usize,
    pub running: usize,
    pub solver: Vec<(Phase, PhaseTotal)>,
    /// Received from registries, and sent to them.
    pub registry: [u64; 2],
}

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Times {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.seconds += took.as_secs_f64();
    }
}

impl Metrics {
    pub(crate) fn build_ended(&self, status: &'static str, took: Duration) {
        self.counted.lock().builds.entry(status).or_default().add(took);
    }

    pub(crate) fn step_ended(&self, kind: &'static str, phase: &'static str, took: Duration) {
        let mut counted = self.counted.lock();
        *counted.steps.entry(kind).or_default() += 1;
        counted.phases.entry(phase).or_default().add(took);
    }

    pub(crate) fn pruned(&self, bytes: i64) {
        self.pruned_records.add(1);
        self.pruned_bytes.add(usize::try_from(bytes).unwrap_or(0));
    }

    pub(crate) fn collected(&self, records: usize, bytes: u64, took: Duration) {
        self.collected_records.add(records);
        self.collected_bytes.add(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.counted.lock().collections.add(took);
    }

    /// All of it, in Prometheus' text format.
    pub(crate) fn text(&self, moment: &Moment) -> String {
        let mut page = Page::default();
        self.builds_and_steps(&mut page, moment);
        self.storage(&mut page, moment);
        self.traffic(&mut page, moment);
        page.0
    }

    fn builds_and_steps(&self, page: &mut Page, moment: &Moment) {
        let counted = self.counted.lock();
        page.family("slipway_builds_total", "counter");
        for status in ["completed", "failed", "cancelled"] {
            let count = counted.builds.get(status).map_or(0, |times| times.count);
            page.line("slipway_builds_total", &[("status", status)], count);
        }
        page.number("slipway_builds_running", "gauge", self.builds_running.load(Ordering::Relaxed));
        page.family("slipway_build_seconds", "summary");
        let all = counted.builds.values().fold(Times::default(), |all, times| Times {
            count: all.count + times.count,
            seconds: all.seconds + times.seconds,
        });
        page.times("slipway_build_seconds", &[], all);
        page.family("slipway_steps_total", "counter");
        for kind in ["ran", "cached", "remote", "failed"] {
            let count = counted.steps.get(kind).copied().unwrap_or(0);
            page.line("slipway_steps_total", &[("kind", kind)], count);
        }
        page.number("slipway_steps_running", "gauge", moment.running);
        page.number("slipway_steps_queued", "gauge", moment.queued);
        page.family("slipway_phase_seconds", "summary");
        for (phase, times) in &counted.phases {
            page.times("slipway_phase_seconds", &[("phase", phase)], *times);
        }
        page.family("slipway_solver_seconds", "summary");
        for (phase, total) in &moment.solver {
            let times = Times { count: total.count, seconds: total.took.as_secs_f64() };
            page.times("slipway_solver_seconds", &[("phase", phase.name())], times);
        }
    }

    fn storage(&self, page: &mut Page, moment: &Moment) {
        page.family("slipway_cache_bytes", "gauge");
        for (kind, held) in &moment.held {
            page.line("slipway_cache_bytes", &[("type", kind)], held.bytes);
        }
        page.family("slipway_cache_records", "gauge");
        for (kind, held) in &moment.held {
            page.line("slipway_cache_records", &[("type", kind)], held.records);
        }
        page.number("slipway_pruned_bytes_total", "counter", self.pruned_bytes.get());
        page.number("slipway_pruned_records_total", "counter", self.pruned_records.get());
        page.family("slipway_gc_seconds", "summary");
        page.times("slipway_gc_seconds", &[], self.counted.lock().collections);
        page.number("slipway_gc_bytes_total", "counter", self.collected_bytes.get());
        page.number("slipway_gc_records_total", "counter", self.collected_records.get());
    }

    fn traffic(&self, page: &mut Page, moment: &Moment) {
        page.number("slipway_client_connections", "gauge", self.connections.load(Ordering::Relaxed));
        page.both_ways("slipway_client_bytes_total", [self.bytes_in.get(), self.bytes_out.get()]);
        page.both_ways("slipway_session_bytes_total", [self.session_in.get(), self.session_out.get()]);
        page.number("slipway_export_bytes_total", "counter", self.exported.get());
        page.both_ways("slipway_registry_bytes_total", moment.registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_line() {
        let metrics = Metrics::default();
        metrics.build_ended("completed", Duration::from_secs(2));
        metrics.build_ended("failed", Duration::from_secs(1));
        metrics.step_ended("cached", "run", Duration::from_millis(500));
        metrics.pruned(70);
        metrics.collected(3, 90, Duration::from_millis(250));
        metrics.session_in.add(7);
        let moment = Moment {
            held: [("regular".to_owned(), Held { records: 2, bytes: 30 })].into(),
            queued: 4,
            running: 1,
            solver: vec![(Phase::Queue, PhaseTotal { count: 5, took: Duration::from_secs(6) })],
            registry: [11, 12],
        };
        let page = metrics.text(&moment);
        for line in [
            "slipway_builds_total{status=\"completed\"} 1",
            "slipway_build_seconds_sum 3",
            "slipway_build_seconds_count 2",
            "slipway_steps_total{kind=\"cached\"} 1",
            "slipway_steps_total{kind=\"remote\"} 0",
            "slipway_steps_queued 4",
            "slipway_steps_running 1",
            "slipway_phase_seconds_sum{phase=\"run\"} 0.5",
            "slipway_solver_seconds_sum{phase=\"queue\"} 6",
            "slipway_cache_bytes{type=\"regular\"} 30",
            "slipway_pruned_bytes_total 70",
            "slipway_gc_seconds_count 1",
            "slipway_gc_bytes_total 90",
            "slipway_gc_records_total 3",
            "slipway_builds_running 0",
            "slipway_session_bytes_total{direction=\"in\"} 7",
            "slipway_export_bytes_total 0",
            "slipway_registry_bytes_total{direction=\"out\"} 12",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing:\n{page}");
        }
    }
}
