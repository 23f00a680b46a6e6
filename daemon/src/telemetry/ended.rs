//! What is told of a build once it has ended: its numbers, its trace for the history and for a collector.
//!
//! Nothing is watched while the build goes on. All of it is in the log that the history keeps anyway, and in what the
//! solver remembers of each step; it is read beside everything else, when the client has its answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use slipway_proto::control::{StatusResponse, Vertex};
use slipway_solver::{Job, Spent};
use slipway_worker::Value;
use tonic::Code;

use super::spans::Spans;
use super::{Metrics, Parent, stub};
use crate::engine::Engine;
use crate::history::Untraced;

/// Steps of one build that are looked at for what they spent their time on.
const MOST: usize = 20_000;

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

/// What only the solver knows of the steps of a build, by their digests.
#[derive(Default)]
pub(crate) struct Facts(HashMap<String, Spent>);

impl Facts {
    /// Before the job ends: it forgets.
    pub(crate) fn of(job: &Job<Value>) -> Self {
        Self(job.spent(MOST).into_iter().map(|(vertex, spent)| (vertex.to_string(), spent)).collect())
    }
}

/// Counts and traces the steps of a build that has ended. Blocks.
pub(crate) fn tell(engine: &Engine, untraced: Untraced, parent: Option<Parent>, facts: &Facts) {
    let mut steps = Steps::new(&engine.metrics, facts);
    let mut spans = Spans::begin(untraced.name(), parent);
    let read = untraced.read_log(|news| {
        steps.hear(news);
        spans.hear(news);
    });
    if let Err(error) = read {
        tracing::warn!(build = untraced.name(), %error, "a build is traced in part");
    }
    facts.0.iter().for_each(|(vertex, spent)| spans.spent(vertex, spent));
    let spans = spans.end();
    let kept = untraced.keep(&stub::encode(&spans));
    if let Err(error) = kept {
        tracing::debug!(%error, "the trace of a build is not kept");
    }
    if let Some(collector) = &engine.traces {
        collector.tell(spans);
    }
}

/// A trace of what the log tells, for a record that has none. Blocks.
pub(crate) fn trace_from_log(untraced: Untraced) {
    let mut spans = Spans::begin(untraced.name(), None);
    let read = untraced.read_log(|news| spans.hear(news));
    if let Err(error) = read.and_then(|()| untraced.keep(&stub::encode(&spans.end()))) {
        tracing::warn!(%error, "a build cannot be traced");
    }
}

/// A step has several pieces, each with a start and an end; it is counted once, by the first that ends.
struct Steps<'a> {
    metrics: &'a Metrics,
    facts: &'a Facts,
    counted: HashSet<String>,
}

impl<'a> Steps<'a> {
    fn new(metrics: &'a Metrics, facts: &'a Facts) -> Self {
        Self { metrics, facts, counted: HashSet::new() }
    }

    fn hear(&mut self, news: &StatusResponse) {
        for vertex in news.vertexes.iter().filter(|vertex| vertex.completed.is_some()) {
            if self.counted.insert(vertex.digest.clone()) {
                self.metrics.step_ended(self.kind(vertex), phase(&vertex.name), took(vertex));
            }
        }
    }

    fn kind(&self, vertex: &Vertex) -> &'static str {
        let imported = || self.facts.0.get(&vertex.digest).is_some_and(|spent| spent.imported);
        match (vertex.error.is_empty(), vertex.cached) {
            (false, _) => "failed",
            (true, true) if imported() => "remote",
            (true, true) => "cached",
            (true, false) => "ran",
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

    fn vertex(name: &str, completed: bool, cached: bool, error: &str) -> StatusResponse {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let vertex = Vertex {
            digest: name.into(),
            name: name.into(),
            started: at(10),
            completed: if completed { at(12) } else { None },
            cached,
            error: error.into(),
            ..Vertex::default()
        };
        StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() }
    }

    #[test]
    fn a_step_is_counted_once_and_by_how_it_ended() {
        let metrics = Metrics::default();
        let imported = Spent { imported: true, ..Spent::default() };
        let facts = Facts([("[3/3] RUN c".to_owned(), imported)].into());
        let mut steps = Steps::new(&metrics, &facts);
        for (name, completed, cached, error) in [
            ("[1/2] RUN a", false, false, ""),
            ("[1/2] RUN a", true, false, ""),
            ("[1/2] RUN a", true, false, ""),
            ("[2/2] RUN b", true, true, ""),
            ("[3/3] RUN c", true, true, ""),
            ("exporting to image", true, false, "no"),
        ] {
            steps.hear(&vertex(name, completed, cached, error));
        }
        let page = metrics.text(&Default::default());
        for line in [
            "slipway_steps_total{kind=\"ran\"} 1",
            "slipway_steps_total{kind=\"cached\"} 1",
            "slipway_steps_total{kind=\"remote\"} 1",
            "slipway_steps_total{kind=\"failed\"} 1",
            "slipway_phase_seconds_sum{phase=\"run\"} 6",
            "slipway_phase_seconds_count{phase=\"export\"} 1",
        ] {
            assert!(page.contains(line), "{line} is missing:\n{page}");
        }
    }
}
