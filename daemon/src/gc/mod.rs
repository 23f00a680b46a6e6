//! Garbage collection: the store is kept within what the configuration allows, without anybody asking.
//!
//! | file | holds |
//! |---|---|
//! | `values` | sizes and durations, as people write them |
//! | `policy` | rules, as `buildkitd.toml` has them, and those that hold when it has none |
//! | `collector` | when the rules are applied |
//!
//! What a rule removes, and in which order, is the store's business (`slipway_store::PruneOptions`). Nothing that a
//! build uses goes, so collecting and building need not know of each other.

mod collector;
mod policy;
mod values;

pub(crate) use collector::Collector;
pub use policy::{GcConfig, GcPolicy};
pub use values::{DiskSpace, KeepDuration};
