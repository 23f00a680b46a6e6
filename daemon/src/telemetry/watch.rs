//! One build, counted: how it ended by who runs it, its steps by watching as a client watches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use slipway_proto::control::{StatusRequest, Vertex};
use tonic::Code;

use super::spans::Spans;
use super::{Metrics, Parent};
use crate::control::status_of;
use crate::engine::Engine;

/// A build under way. Dropped before [`BuildCount::ended`], it was cancelled.
pub(crate) struct BuildCount {
    metrics: Arc<Metrics>,
    started: Instant,
    status: &'static str,
}

impl BuildCount {
    pub(crate) fn begin(metrics: Arc<Metrics>) -> Self {
        metrics.builds_running.fetch_add(1, Ordering::Relaxed);
        Self { metrics, started: Instant::now(), status: "cancelled" }
    }

    pub(crate) fn ended(mut self, code: Code) {
        self.status = match code {
            Code::Ok => "completed",
            Code::Cancelled => "cancelled",
            _ => "failed",
        };
    }
}

impl Drop for BuildCount {
    fn drop(&mut self) {
        self.metrics.builds_running.fetch_sub(1, Ordering::Relaxed);
        self.metrics.build_ended(self.status, self.started.elapsed());
    }
}

/// Counts and traces the steps of the build `id` until it ends.
pub(crate) async fn watch(engine: Arc<Engine>, id: String, parent: Option<Parent>) {
    let (metrics, collector) = (engine.metrics.clone(), engine.traces.clone());
    let mut spans = collector.is_some().then(|| Spans::begin(&id, parent));
    let Ok(mut stream) = status_of(&engine, StatusRequest { r#ref: id }).await else { return };
    drop(engine);
    let mut steps = Steps::new(&metrics);
    while let Some(Ok(message)) = stream.next().await {
        message.vertexes.iter().for_each(|vertex| steps.tell(vertex));
        if let Some(spans) = &mut spans {
            message.vertexes.iter().for_each(|vertex| spans.step(vertex));
        }
    }
    if let (Some(collector), Some(spans)) = (collector, spans) {
        collector.tell(spans.end());
    }
}

/// Counts up while it lives.
struct Running<'a>(&'a AtomicI64);

impl<'a> Running<'a> {
    fn new(gauge: &'a AtomicI64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A step has several pieces, each with a start and an end; it is counted once, when it first ends.
struct Steps<'a> {
    metrics: &'a Metrics,
    known: HashMap<String, Step<'a>>,
}

#[derive(Default)]
struct Step<'a> {
    running: Option<Running<'a>>,
    counted: bool,
}

impl<'a> Steps<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        Self { metrics, known: HashMap::new() }
    }

    fn tell(&mut self, vertex: &Vertex) {
        let step = self.known.entry(vertex.digest.clone()).or_default();
        if vertex.completed.is_none() {
            if vertex.started.is_some() && step.running.is_none() {
                step.running = Some(Running::new(&self.metrics.steps_running));
            }
            return;
        }
        step.running = None;
        if !std::mem::replace(&mut step.counted, true) {
            let kind = match (vertex.error.is_empty(), vertex.cached) {
                (false, _) => "failed",
                (true, true) => "cached",
                (true, false) => "ran",
            };
            self.metrics.step_ended(kind, phase(&vertex.name), took(vertex));
        }
    }
}

fn took(vertex: &Vertex) -> Duration {
    let time = |at: Option<prost_types::Timestamp>| at.and_then(|at| SystemTime::try_from(at).ok());
    let (Some(started), Some(completed)) = (time(vertex.started), time(vertex.completed)) else {
        return Duration::ZERO;
    };
    completed.duration_since(started).unwrap_or_default()
}

/// What kind of work a step is, by the beginning of its name.
fn phase(name: &str) -> &'static str {
    if name.starts_with("[internal] load metadata") || name.starts_with("resolve ") {
        "resolve"
    } else if name.starts_with("[internal]") {
        "load"
    } else if name.starts_with("exporting") {
        "export"
    } else if name.starts_with('[') {
        "run"
    } else {
        "other"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(name: &str, completed: bool, cached: bool, error: &str) -> Vertex {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        Vertex {
            digest: name.into(),
            name: name.into(),
            started: at(10),
            completed: if completed { at(12) } else { None },
            cached,
            error: error.into(),
            ..Vertex::default()
        }
    }

    #[test]
    fn a_step_is_counted_once_and_by_how_it_ended() {
        let metrics = Metrics::default();
        let mut steps = Steps::new(&metrics);
        steps.tell(&vertex("[1/2] RUN a", false, false, ""));
        assert_eq!(metrics.steps_running.load(Ordering::Relaxed), 1);
        steps.tell(&vertex("[1/2] RUN a", true, false, ""));
        steps.tell(&vertex("[1/2] RUN a", true, false, ""));
        steps.tell(&vertex("[2/2] RUN b", true, true, ""));
        steps.tell(&vertex("exporting to image", true, false, "no"));
        assert_eq!(metrics.steps_running.load(Ordering::Relaxed), 0);
        let page = metrics.text(&Default::default());
        for line in [
            "slipway_steps_total{kind=\"ran\"} 1",
            "slipway_steps_total{kind=\"cached\"} 1",
            "slipway_steps_total{kind=\"failed\"} 1",
            "slipway_phase_seconds_sum{phase=\"run\"} 4",
            "slipway_phase_seconds_count{phase=\"export\"} 1",
        ] {
            assert!(page.contains(line), "{line} is missing:\n{page}");
        }
    }
}
