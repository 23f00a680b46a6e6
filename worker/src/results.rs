//! Values by name: what the record store writes down instead of a tree.

use async_trait::async_trait;
use slipway_cache::ResultStore;
use slipway_store::{SnapshotId, Store};

use crate::Value;

/// Names snapshots by their id. Scratch has a name of its own; a client's directory has none, since
/// it belongs to the build that received it.
pub struct SnapshotResults(pub Store);

const SCRATCH: &str = "scratch";
