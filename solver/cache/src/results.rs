//! The wall between records and the results they name.

use async_trait::async_trait;
use slipway_solver::{Failure, OpContext};

/// Turns values into durable names and back.
#[async_trait]
pub trait ResultStore<V>: Send + Sync {
    /// The name under which `value` can be loaded by a later process; `None` if it cannot be kept.
    /// Equal values may be given again and again, and then have the same name.
    async fn persist(&self, value: &V) -> Result<Option<String>, Failure>;

    /// Whether there is a value called `name`. Asked after a crash, for each record.
    fn exists(&self, name: &str) -> bool;

    /// The value called `name`, for the vertex that `ctx` speaks of.
    async fn load(&self, name: &str, ctx: &OpContext<V>) -> Result<V, LoadError>;

    /// No record names `name` any more: the cache does not need it kept.
    fn release(&self, name: &str);
}

/// Why a result does not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It never will: the records that name it are forgotten.
    #[error("the result does not exist any more")]
    Gone,
    /// It may another time.
    #[error("the result does not load")]
    Failed(#[source] Failure),
}
