//! Running a process: `pb.ExecOp`.
//!
//! ```text
//! mounts     what each mount is made of: an input, a new writable snapshot, a cache, a secret, memory
//! spec       the process as the runtime wants it
//! output     its output on the way into the build's log
//! log_limit  how much of it, if that is limited
//! run        all of it together; writable snapshots become the outputs
//! ```

mod log_limit;
pub(crate) mod mounts;
mod output;
mod run;
pub(crate) mod spec;

use std::sync::Arc;

use async_trait::async_trait;
use slipway_model::Platform;
use slipway_model::llb::pb;
use slipway_model::llb::pb::MountType;
use slipway_solver::{CacheMap, Op, OpContext, OpResult, Permit};
use slipway_store::Sharing;

pub use log_limit::LogLimits;

use super::cache_key;
use super::content::input_rules;
use super::graph::TravellingMounts;
use crate::{Value, Worker};

pub(super) struct ExecOp {
    pub worker: Arc<Worker>,
    pub exec: pb::ExecOp,
    pub platform: Platform,
    pub resources: Option<pb::LinuxResources>,
    pub inputs: usize,
    /// Of the build that brought it.
    pub travelling: Option<Arc<dyn TravellingMounts>>,
}

/// The cache mounts of `exec`: id and sharing.
pub(super) fn cache_mounts(exec: &pb::ExecOp) -> impl Iterator<Item = (&str, Sharing)> {
    let caches = exec.mounts.iter().filter(|mount| mount.mount_type() == MountType::Cache);
    caches.map(|mount| (mounts::cache_id(mount), mounts::sharing(mount)))
}

#[async_trait]
impl Op<Value> for ExecOp {
    async fn cache_map(&self, _: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        let key = cache_key::exec(&self.exec, &self.platform, self.inputs)?;
        Ok(input_rules(&self.worker, key, self.inputs))
    }

    async fn acquire(&self, _: &OpContext<Value>) -> OpResult<Permit> {
        self.worker.permit().await
    }

    async fn exec(&self, ctx: &OpContext<Value>, inputs: Vec<Value>) -> OpResult<Vec<Value>> {
        Ok(run::run(self, ctx, inputs).await?)
    }
}
