//! A build as it can be compared: definitions and what the solver knows of them, joined.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use slipway_explain::material::reading;
use slipway_explain::{Build, Input, Material, Outcome, Step};
use slipway_model::llb;
use slipway_solver::{Answer, KeyId, Trace, VertexDigest};
use slipway_worker::ops;

/// Builds with more steps are not explained.
pub(super) const MOST_STEPS: usize = 4096;

/// The steps of some definitions, as far as they do not depend on how they are solved.
#[derive(Default)]
pub(super) struct Graph {
    pub steps: Vec<Step>,
    pub materials: HashMap<String, Arc<Material>>,
    by_vertex: HashMap<VertexDigest, usize>,
    /// Content keys as the solver has them, by the hex that steps name them with.
    pub contents: HashMap<String, KeyId>,
}

impl Graph {
    /// Adds what is new in `definition`; every step comes after its inputs.
    pub(super) fn add(&mut self, definition: &llb::Definition, salt: &str) {
        let Some((head, _)) = &definition.head else { return };
        for vertex in ops::post_order(head) {
            if self.steps.len() >= MOST_STEPS {
                return;
            }
            if !self.by_vertex.contains_key(&vertex.digest) {
                let step = self.step(&vertex, salt);
                self.by_vertex.insert(vertex.digest, self.steps.len());
                self.steps.push(step);
            }
        }
    }

    fn step(&mut self, vertex: &llb::Vertex, salt: &str) -> Step {
        let key = ops::cache_key_of(vertex);
        let material = Material::of(&vertex.op, key.as_ref().map(|key| key.preimage.as_str()), salt);
        let id = material.id();
        self.materials.entry(id.clone()).or_insert_with(|| Arc::new(material));
        let inputs = vertex.inputs.iter().enumerate().filter_map(|(index, (input, output))| {
            let (label, paths) = reading(&vertex.op, index);
            let looked_at = key.as_ref().and_then(|key| key.inputs.get(index)?.content.as_ref());
            let bases = looked_at.into_iter().flatten();
            let bases =
                bases.map(|selector| String::from_utf8_lossy(&selector.base()).into_owned()).collect();
            let step = *self.by_vertex.get(&input.digest)?;
            Some(Input { step, output: *output, label, paths, bases, content: None })
        });
        Step {
            vertex: vertex.digest.to_string(),
            name: slipway_explain::redact::without_credentials(&ops::name_of(vertex)),
            operation: key.as_ref().map(|key| key.digest.to_string()).unwrap_or_default(),
            material: id,
            inputs: inputs.collect(),
            forced: vertex.metadata.ignore_cache,
            ..Step::default()
        }
    }

    pub(super) fn index(&self, vertex: &VertexDigest) -> Option<usize> {
        self.by_vertex.get(vertex).copied()
    }

    /// Whether there are steps that were left out.
    pub(super) fn is_cut(&self) -> bool {
        self.steps.len() >= MOST_STEPS
    }

    /// Takes in how far the solver is.
    pub(super) fn learn(&mut self, traces: &[Trace]) {
        let mut told = HashSet::new();
        for trace in traces {
            let digest = trace.vertex;
            let Some(step) = self.by_vertex.get(&digest).and_then(|index| self.steps.get_mut(*index)) else {
                continue;
            };
            let outcome = outcome(trace);
            // A vertex may be there twice, forced and not; the one that was needed tells.
            if !told.insert(digest) && outcome == Outcome::NotNeeded {
                continue;
            }
            step.outcome = outcome;
            if let Some(operation) = trace.operations.first() {
                step.operation = operation.to_string();
            }
            step.resolved = trace.resolved.as_deref().map(str::to_owned);
            step.session_bound = !trace.persistent;
            step.refused.clone_from(&trace.refused);
            step.keys = trace.keys.iter().filter(|key| !key.is_session_bound()).map(hex).collect();
            step.record = match &trace.answer {
                Answer::Found(record) | Answer::Loaded(record) => Some(milliseconds(record.created)),
                _ => None,
            };
            for (input, content) in step.inputs.iter_mut().zip(&trace.contents) {
                input.content = content.as_ref().map(hex);
                if let Some(key) = content {
                    self.contents.insert(hex(key), *key);
                }
            }
        }
    }

    pub(super) fn build(&self, id: &str, lineage: &str, started: SystemTime) -> Build {
        Build {
            id: id.to_owned(),
            lineage: lineage.to_owned(),
            started: milliseconds(started),
            ended: milliseconds(SystemTime::now()),
            steps: self.steps.clone(),
        }
    }
}

fn outcome(trace: &Trace) -> Outcome {
    match &trace.answer {
        _ if trace.failed => Outcome::Failed,
        // Under way, or cancelled: as long as it is not done, it has left nothing.
        Answer::Joined | Answer::Ran if !trace.done => Outcome::Failed,
        Answer::Unasked => Outcome::NotNeeded,
        Answer::Found(_) => Outcome::Found,
        Answer::Loaded(_) => Outcome::Cached,
        Answer::Joined => Outcome::Shared,
        Answer::Ran => Outcome::Ran,
    }
}

fn hex(key: &KeyId) -> String {
    slipway_model::Digest::Sha256(*key.hash()).hex()
}

fn milliseconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
