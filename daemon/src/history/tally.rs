//! Counting the steps of a build, and which of them are still open.

use std::collections::HashMap;

use slipway_model::Digest;
use slipway_proto::control::{BuildHistoryRecord, StatusResponse, Vertex};

#[derive(Default)]
pub(super) struct Tally {
    steps: HashMap<Digest, Step>,
    warnings: usize,
}

/// What a vertex has been at any time: it may start and complete several times.
#[derive(Clone, Copy, Default)]
struct Step {
    cached: bool,
    completed: bool,
}

impl Tally {
    pub(super) fn count(&mut self, news: &StatusResponse) {
        self.warnings += news.warnings.len();
        for vertex in &news.vertexes {
            // Vertices are named by digests; a client's own `Warn` makes none.
            let Ok(digest) = vertex.digest.parse::<Digest>() else { continue };
            let step = self.steps.entry(digest).or_default();
            step.cached |= vertex.cached;
            step.completed |= vertex.completed.is_some();
        }
    }

    pub(super) fn note(&self, record: &mut BuildHistoryRecord) {
        let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let steps =
            |wanted: fn(&Step) -> bool| number(self.steps.values().filter(|step| wanted(step)).count());
        record.num_total_steps = number(self.steps.len());
        record.num_cached_steps = steps(|step| step.cached);
        record.num_completed_steps = steps(|step| step.completed);
        record.num_warnings = number(self.warnings);
    }
}

/// The vertices that have started and not completed.
#[derive(Default)]
pub(super) struct Open(HashMap<String, Vertex>);

impl Open {
    pub(super) fn follow(&mut self, news: &StatusResponse) {
        for vertex in &news.vertexes {
            if vertex.started.is_some() && vertex.completed.is_none() {
                self.0.insert(vertex.digest.clone(), vertex.clone());
            } else {
                self.0.remove(&vertex.digest);
            }
        }
    }

    pub(super) fn into_vertices(self) -> impl Iterator<Item = Vertex> {
        self.0.into_values()
    }
}
