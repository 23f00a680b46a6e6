//! What one tree adds to another: `pb.DiffOp`.
//!
//! The result is a tree of what was added or changed. What was deleted shows when it is merged onto something, or
//! exported as a layer.

use std::sync::Arc;

use async_trait::async_trait;
use slipway_model::llb::pb;
use slipway_solver::{CacheMap, Op, OpContext, OpResult, Permit};
use slipway_store::layer::between;

use super::cache_key;
use super::content::input_rules;
use crate::blocking::blocking;
use crate::worker::described;
use crate::{Result, Value, Worker};

pub(super) struct DiffOp {
    worker: Arc<Worker>,
    diff: pb::DiffOp,
    inputs: usize,
    /// Indexes of inputs; `None` is scratch.
    lower: Option<usize>,
    upper: Option<usize>,
}

impl DiffOp {
    pub(super) fn new(worker: Arc<Worker>, diff: &pb::DiffOp, inputs: usize) -> Result<Self, String> {
        let (Some(lower), Some(upper)) = (&diff.lower, &diff.upper) else {
            return Err("a diff needs a lower and an upper input".into());
        };
        let (lower, upper) = (usize::try_from(lower.input).ok(), usize::try_from(upper.input).ok());
        if lower.iter().chain(&upper).any(|index| *index >= inputs) {
            return Err("a diff names an input that does not exist".into());
        }
        Ok(Self { worker, diff: *diff, inputs, lower, upper })
    }
}

#[async_trait]
impl Op<Value> for DiffOp {
    async fn cache_map(&self, _: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        Ok(input_rules(&self.worker, cache_key::diff(&self.diff)?, self.inputs))
    }

    async fn acquire(&self, _: &OpContext<Value>) -> OpResult<Permit> {
        self.worker.permit().await
    }

    async fn exec(&self, _: &OpContext<Value>, inputs: Vec<Value>) -> OpResult<Vec<Value>> {
        let side = |index: Option<usize>| {
            index.and_then(|index| inputs.get(index).cloned()).unwrap_or(Value::Scratch)
        };
        let (worker, lower, upper) = (self.worker.clone(), side(self.lower), side(self.upper));
        Ok(vec![blocking(move || diff(&worker, &lower, &upper)).await?])
    }
}

fn diff(worker: &Worker, lower: &Value, upper: &Value) -> Result<Value> {
    let (below, above) = (worker.snapshot_of(lower)?, worker.snapshot_of(upper)?);
    match (&below, &above) {
        (None, _) => Ok(above.map_or(Value::Scratch, Value::Snapshot)),
        (Some(below), Some(above)) if below == above => Ok(Value::Scratch),
        _ => {
            let made = between(&worker.store, below.as_ref(), above.as_ref(), described("diff"))?;
            Ok(Value::Snapshot(made))
        }
    }
}
