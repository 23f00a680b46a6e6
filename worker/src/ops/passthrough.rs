//! Inputs handed on under other indexes: `pb.PassthroughOp`. Its id makes two of them different operations.

use std::sync::Arc;

use async_trait::async_trait;
use slipway_model::llb::pb;
use slipway_solver::{CacheMap, Op, OpContext, OpResult};

use super::cache_key;
use super::content::input_rules;
use crate::{Error, Value, Worker};

pub(super) struct PassthroughOp {
    worker: Arc<Worker>,
    passthrough: pb::PassthroughOp,
    inputs: usize,
}

impl PassthroughOp {
    pub(super) fn new(
        worker: Arc<Worker>,
        passthrough: &pb::PassthroughOp,
        inputs: usize,
    ) -> Result<Self, String> {
        cache_key::passthrough(passthrough, inputs).map_err(|error| error.to_string())?;
        Ok(Self { worker, passthrough: passthrough.clone(), inputs })
    }
}

#[async_trait]
impl Op<Value> for PassthroughOp {
    async fn cache_map(&self, _: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        let key = cache_key::passthrough(&self.passthrough, self.inputs)?;
        let mut map = input_rules(&self.worker, key, self.inputs);
        map.inputs.iter_mut().for_each(|rule| rule.prepare = None); // they are handed on unread
        Ok(map)
    }

    async fn exec(&self, _: &OpContext<Value>, inputs: Vec<Value>) -> OpResult<Vec<Value>> {
        let input = |index: &i64| {
            let found = usize::try_from(*index).ok().and_then(|index| inputs.get(index)).cloned();
            found.ok_or_else(|| {
                Error::Failed(format!("invalid passthrough output input index {index}")).into()
            })
        };
        self.passthrough.outputs.iter().map(input).collect()
    }
}
