//! The numbers, and how they are written.
//!
//! | metric | labels | counts |
//! |---|---|---|
//! | `slipway_builds_total` | `status`: completed, failed, cancelled | builds that ended |
//! | `slipway_builds_running` | | builds under way |
//! | `slipway_build_seconds` | | how long builds took |
//! | `slipway_steps_total` | `kind`: ran, cached, failed | steps that ended |
//! | `slipway_steps_running` | | steps under way |
//! | `slipway_phase_seconds` | `phase`: load, resolve, run, export, other | how long steps took |
//! | `slipway_cache_bytes`, `slipway_cache_records` | `type` | what the store holds |
//! | `slipway_pruned_bytes_total`, `slipway_pruned_records_total` | | what pruning removed when it was asked for |
//! | `slipway_client_connections` | | clients that are connected |
//! | `slipway_client_bytes_total` | `direction`: in, out | what clients sent and were sent |

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

#[derive(Default)]
pub(crate) struct Metrics {
    pub builds_running: AtomicI64,
    pub steps_running: AtomicI64,
    pub connections: AtomicI64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pruned_bytes: AtomicU64,
    pruned_records: AtomicU64,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    builds: BTreeMap<&'static str, Times>,
    steps: BTreeMap<&'static str, u64>,
    phases: BTreeMap<&'static str, Times>,
}

#[derive(Clone, Copy, Default)]
struct Times {
    count: u64,
    seconds: f64,
}

impl Times {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.seconds += took.as_secs_f64();
    }
}

/// What the store holds of one type.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held {
    pub records: u64,
    pub bytes: u64,
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
        self.pruned_records.fetch_add(1, Ordering::Relaxed);
        self.pruned_bytes.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    /// All of it, in Prometheus' text format.
    pub(crate) fn text(&self, held: &BTreeMap<String, Held>) -> String {
        let mut page = Page::default();
        {
            let counted = self.counted.lock();
            page.family("slipway_builds_total", "counter");
            for status in ["completed", "failed", "cancelled"] {
                let count = counted.builds.get(status).map_or(0, |times| times.count);
                page.line("slipway_builds_total", &[("status", status)], count);
            }
            page.family("slipway_build_seconds", "summary");
            let all = counted.builds.values().fold(Times::default(), |all, times| Times {
                count: all.count + times.count,
                seconds: all.seconds + times.seconds,
            });
            page.times("slipway_build_seconds", &[], all);
            page.family("slipway_steps_total", "counter");
            for kind in ["ran", "cached", "failed"] {
                let count = counted.steps.get(kind).copied().unwrap_or(0);
                page.line("slipway_steps_total", &[("kind", kind)], count);
            }
            page.family("slipway_phase_seconds", "summary");
            for (phase, times) in &counted.phases {
                page.times("slipway_phase_seconds", &[("phase", phase)], *times);
            }
        }
        page.family("slipway_cache_bytes", "gauge");
        for (kind, held) in held {
            page.line("slipway_cache_bytes", &[("type", kind)], held.bytes);
        }
        page.family("slipway_cache_records", "gauge");
        for (kind, held) in held {
            page.line("slipway_cache_records", &[("type", kind)], held.records);
        }
        let gauges = [
            ("slipway_builds_running", &self.builds_running),
            ("slipway_steps_running", &self.steps_running),
            ("slipway_client_connections", &self.connections),
        ];
        for (name, gauge) in gauges {
            page.family(name, "gauge");
            page.line(name, &[], gauge.load(Ordering::Relaxed));
        }
        let counters = [
            ("slipway_pruned_bytes_total", &self.pruned_bytes),
            ("slipway_pruned_records_total", &self.pruned_records),
        ];
        for (name, counter) in counters {
            page.family(name, "counter");
            page.line(name, &[], counter.load(Ordering::Relaxed));
        }
        page.family("slipway_client_bytes_total", "counter");
        for (direction, counter) in [("in", &self.bytes_in), ("out", &self.bytes_out)] {
            page.line(
                "slipway_client_bytes_total",
                &[("direction", direction)],
                counter.load(Ordering::Relaxed),
            );
        }
        page.0
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
    }

    /// Values of labels are words without quotes and backslashes.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn times(&mut self, name: &str, labels: &[(&str, &str)], times: Times) {
        self.line(&format!("{name}_sum"), labels, times.seconds);
        self.line(&format!("{name}_count"), labels, times.count);
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
        let held = [("regular".to_owned(), Held { records: 2, bytes: 30 })].into();
        let page = metrics.text(&held);
        for line in [
            "slipway_builds_total{status=\"completed\"} 1",
            "slipway_build_seconds_sum 3",
            "slipway_build_seconds_count 2",
            "slipway_steps_total{kind=\"cached\"} 1",
            "slipway_steps_total{kind=\"ran\"} 0",
            "slipway_phase_seconds_sum{phase=\"run\"} 0.5",
            "slipway_cache_bytes{type=\"regular\"} 30",
            "slipway_pruned_bytes_total 70",
            "slipway_builds_running 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing:\n{page}");
        }
    }
}
