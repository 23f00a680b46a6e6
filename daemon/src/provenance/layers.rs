//! Which layers came of which step.
//!
//! A step's result may be one that nobody had to load, because what depends on it was cached. Its keys are known all
//! the same, so its newest record tells which snapshot it is. Only layers that are packed already are told: nothing is
//! packed for a document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_model::{BlobDigest, Descriptor};
use slipway_solver::RecordSource as _;
use slipway_store::Ref;
use slipway_worker::{Value as Tree, results};

use super::capture::Pins;
use super::steps::Steps;
use crate::engine::Engine;

/// `step0:0` and the chain of layers that it is; of several forms of a layer, that of `preferred`. Blocks.
pub(super) fn layers(engine: &Engine, pins: &Pins, steps: &Steps, preferred: &[Descriptor]) -> Option<Value> {
    let preferred: BTreeSet<BlobDigest> = preferred.iter().map(|layer| layer.digest).collect();
    let mut told: BTreeMap<String, Value> = BTreeMap::new();
    for (vertex, output) in pins.outputs() {
        let Some(number) = steps.numbers.get(&vertex) else { continue };
        let Some(snapshot) = snapshot(engine, pins, vertex, output) else { continue };
        if let Some(chain) = chain(&snapshot, &preferred) {
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
    records.iter().find_map(|record| {
        let name = engine.records.result_of(&record.id)?;
        match results::named(&engine.store, &name) {
            Ok(Tree::Snapshot(snapshot)) => Some(snapshot),
            _ => None,
        }
    })
}

/// From the bottom up; `None` if one of them is not packed.
fn chain(snapshot: &Ref, preferred: &BTreeSet<BlobDigest>) -> Option<Value> {
    let layer = |snapshot: &Ref| {
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
    };
    snapshot.chain().iter().map(layer).collect()
}
