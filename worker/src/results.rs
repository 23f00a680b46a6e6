//! Values by name: what the record store writes down instead of a tree.
//!
//! A snapshot's name is its id. Scratch has a name of its own; a client's directory has none, since it
//! belongs to the build that received it.

use async_trait::async_trait;
use slipway_cache::{LoadError, ResultStore};
use slipway_solver::{Failure, OpContext};
use slipway_store::Store;

use crate::Value;

pub struct SnapshotResults(pub Store);

/// The value that was kept as `name`.
pub fn named(store: &Store, name: &str) -> Result<Value, LoadError> {
    if name == SCRATCH {
        return Ok(Value::Scratch);
    }
    let id = name.parse().map_err(|_| LoadError::Gone)?;
    match store.get(&id) {
        Ok(Some(snapshot)) => Ok(Value::Snapshot(snapshot)),
        Ok(None) => Err(LoadError::Gone),
        Err(error) => Err(LoadError::Failed(error.into())),
    }
}

const SCRATCH: &str = "scratch";

#[async_trait]
impl ResultStore<Value> for SnapshotResults {
    async fn persist(&self, value: &Value) -> Result<Option<String>, Failure> {
        Ok(match value {
            Value::Scratch => Some(SCRATCH.to_owned()),
            Value::Snapshot(snapshot) => Some(snapshot.id().to_string()),
            Value::Context(_) => None,
        })
    }

    async fn load(&self, name: &str, _: &OpContext<Value>) -> Result<Value, LoadError> {
        named(&self.0, name)
    }

    /// The snapshot stays until pruning takes it: its content may still match, and it may be a layer.
    fn release(&self, _: &str) {}
}
