//! Values by name: what the record store writes down instead of a tree.
//!
//! A snapshot's name is its id. Scratch has a name of its own; a client's directory has none, since it
//! belongs to the build that received it, and what is still elsewhere gets one when it is fetched.

use async_trait::async_trait;
use slipway_cache::{LoadError, ResultStore};
use slipway_solver::{Failure, OpContext};
use slipway_store::check::Inspection;
use slipway_store::{Ref, Store};

use crate::Value;

pub struct SnapshotResults(pub Store);

/// The tree that was kept as `name`, if it is packed as a layer. Most are not: that costs one look, where a tree costs
/// one for each below it.
pub fn packed(store: &Store, name: &str) -> Option<Ref> {
    let id = name.parse().ok()?;
    if store.is_packed(&id).ok()? { store.get(&id).ok().flatten() } else { None }
}

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

/// Whether a root that nobody uses has a result of this name.
pub fn exists(inspection: &Inspection, name: &str) -> bool {
    name == SCRATCH || inspection.has_snapshot(name)
}

#[async_trait]
impl ResultStore<Value> for SnapshotResults {
    async fn persist(&self, value: &Value) -> Result<Option<String>, Failure> {
        Ok(match value.real() {
            Ok(Value::Scratch) => Some(SCRATCH.to_owned()),
            Ok(Value::Snapshot(snapshot)) => Some(snapshot.id().to_string()),
            Ok(Value::Context(_) | Value::Lazy(_)) | Err(_) => None,
        })
    }

    fn exists(&self, name: &str) -> bool {
        // What cannot be answered now is found out when it is loaded.
        name == SCRATCH || name.parse().is_ok_and(|id| self.0.exists(&id).unwrap_or(true))
    }

    async fn load(&self, name: &str, _: &OpContext<Value>) -> Result<Value, LoadError> {
        named(&self.0, name)
    }

    /// The snapshot stays until pruning takes it: its content may still match, and it may be a layer.
    fn release(&self, _: &str) {}
}
