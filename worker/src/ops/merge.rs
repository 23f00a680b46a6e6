//! One tree on top of another: `pb.MergeOp`, which `COPY --link` is made of.
//!
//! The first input is the base; what each snapshot of the further inputs changed is applied on top,
//! bottom up.

use std::sync::Arc;

use async_trait::async_trait;
use slipway_model::llb::pb;
use slipway_solver::{CacheMap, Op, OpContext, OpResult, Permit};
use slipway_store::Ref;
use slipway_store::layer::restack;

use super::cache_key;
use super::content::input_rules;
use crate::blocking::blocking;
use crate::worker::described;
use crate::{Result, Value, Worker};

pub(super) struct MergeOp {
    worker: Arc<Worker>,
    merge: pb::MergeOp,
    inputs: usize,
    /// Indexes of inputs, bottom up; `None` is scratch.
    layers: Vec<Option<usize>>,
}

impl MergeOp {
    pub(super) fn new(worker: Arc<Worker>, merge: &pb::MergeOp, inputs: usize) -> Result<Self, String> {
        let layers = merge.inputs.iter().map(|input| usize::try_from(input.input).ok()).collect::<Vec<_>>();
        if layers.iter().flatten().any(|index| *index >= inputs) {
            return Err("a merge names an input that does not exist".into());
        }
        Ok(Self { worker, merge: merge.clone(), inputs, layers })
    }
}

#[async_trait]
impl Op<Value> for MergeOp {
    async fn cache_map(&self, _: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        Ok(input_rules(&self.worker, cache_key::merge(&self.merge), self.inputs))
    }

    async fn acquire(&self, _: &OpContext<Value>) -> OpResult<Permit> {
        self.worker.permit().await
    }

    async fn exec(&self, _: &OpContext<Value>, inputs: Vec<Value>) -> OpResult<Vec<Value>> {
        let layers = self.layers.iter().flatten().map(|index| inputs[*index].clone()).collect::<Vec<_>>();
        let worker = self.worker.clone();
        Ok(vec![blocking(move || merge(&worker, layers)).await?])
    }
}

fn merge(worker: &Worker, layers: Vec<Value>) -> Result<Value> {
    let mut trees = Vec::new();
    for value in &layers {
        trees.extend(worker.snapshot_of(value)?);
    }
    let mut trees = trees.into_iter();
    let Some(mut merged) = trees.next() else { return Ok(Value::Scratch) };
    for tree in trees {
        for layer in tree.chain() {
            merged = stack(worker, &merged, &layer)?;
        }
    }
    Ok(Value::Snapshot(merged))
}

/// A snapshot on `base` that changes what `layer` changed.
fn stack(worker: &Worker, base: &Ref, layer: &Ref) -> Result<Ref> {
    let mut active = worker.store.prepare(Some(base), described("merge"))?;
    restack(layer, &mut active)?;
    Ok(active.commit()?)
}
