//! Values by name: what the record store writes down instead of a tree.
//!
//! A snapshot's name is its id. Scratch has a name of its own; a client's directory has none, since it
//! belongs to the build that received it.

use async_trait::async_trait;
use slipway_cache::ResultStore;
use slipway_solver::Failure;
use slipway_store::{SnapshotId, Store};

use crate::Value;

pub struct SnapshotResults(pub Store);

const SCRATCH: &str = "scratch";
