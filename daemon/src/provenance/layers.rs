//! Which layers came of which step.
//!
//! A step's result may be one that nobody had to load, because what depends on it was cached. Its keys are known all
//! the same, so its newest record tells which snapshot it is. Only layers that are packed already are told: nothing is
//! packed for a document.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use slipway_model::{BlobDigest, Descriptor};
use slipway_solver::RecordSource as _;
use slipway_store::{Ref, SnapshotId};
use slipway_worker::results;

use super::capture::Pins;
use super::steps::Steps;
use crate::engine::Engine;

/// `step0:0` and the chain of layers that it is; of several forms of a layer, that of `preferred`. Blocks.
pub(super) fn layers(engine: &Engine, pins: &Pins, steps: &Steps, preferred: &[Descriptor]) -> Option<Value> {
    let mut layers = Layers {
        preferred: preferred.iter().map(|layer| layer.digest).collect(),
        told: HashMap::new(),
        held: Vec::new(),
    };
    let mut told: BTreeMap<String, Value> = BTreeMap::new();
    for (vertex, output) in pins.outputs() {
        let Some(number) = steps.numbers.get(&vertex) else { continue };
        let Some(snapshot) = snapshot(engine, pins, vertex, output) else { continue };
        if let Some(chain) = layers.chain(snapshot) {
            told.insert(format!("step{number}:{output}"), Value::Array(vec![chain]));
        }
    }
    (!told.is_empty()).then(|| serde_json::json!(told))
}

fn snapshot(
    engine: &Engine,
    pins: &Pins,
    vertex: slipway_model::llb::VertexDigest,
    output: usize,
) -> Option<Ref> {
    let records = pins.keys(vertex, output).iter().flat_map(|key| engine.records.records(key));
    let mut records: Vec<_> = records.collect();
    records.sort_by_key(|record| std::cmp::Reverse(record.created));
    records.iter().find_map(|record| results::packed(&engine.store, &engine.records.result_of(&record.id)?))
}

/// Steps stand on each other, so what one has below it is asked for once.
struct Layers {
    preferred: BTreeSet<BlobDigest>,
    told: HashMap<SnapshotId, Option<Value>>,
    /// As long as a snapshot is held, those that stand on it find it without reading what is below once more.
    held: Vec<Ref>,
}

impl Layers {
    /// From the bottom up; `None` if one of them is not packed.
    fn chain(&mut self, snapshot: Ref) -> Option<Value> {
        let chain = snapshot.chain();
        self.held.push(snapshot);
        chain.iter().map(|snapshot| self.layer(snapshot)).collect()
    }

    fn layer(&mut self, snapshot: &Ref) -> Option<Value> {
        let preferred = &self.preferred;
        self.told.entry(snapshot.id()).or_insert_with(|| layer(snapshot, preferred)).clone()
    }
}

fn layer(snapshot: &Ref, preferred: &BTreeSet<BlobDigest>) -> Option<Value> {
    let mut blobs = snapshot.layer_facts().ok()?.blobs;
    let chosen = blobs.iter().position(|blob| preferred.contains(&blob.digest)).unwrap_or(0);
    if blobs.is_empty() {
        return None;
    }
    let mut descriptor = blobs.swap_remove(chosen).descriptor();
    descriptor.annotations.retain(|key, _| {
        !matches!(key.as_str(), "containerd.io/uncompressed" | "buildkit/createdat")
            && !key.starts_with("containerd.io/distribution.source.")
    });
    serde_json::to_value(&descriptor).ok()
}
