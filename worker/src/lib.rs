//! Workers: what a build graph says, done.
//!
//! | module | holds |
//! |---|---|
//! | [`container`] | processes that frontends ask for, and frontends themselves |
//! | [`ops`] | LLB operations as the solver runs them |
//! | [`policy`] | which sources a build may use |
//! | [`source`] | where trees come from: images, the client's directories, OCI layouts |
//! | [`value`] | what operations hand to each other |
//! | [`devices`] | what the host offers to steps |
//! | [`results`] | values by name, so that the record store can keep them |
//! | [`remains`] | what is left of an operation that failed |
//! | [`images`] | registries, in the name of whoever builds |
//!
//! A worker owns no build: everything about one build comes through the solver's `OpContext`.

mod blocking;
pub mod container;
mod contents;
pub mod devices;
mod digests;
mod error;
pub mod images;
pub mod ops;
mod platforms;
pub mod policy;
pub mod remains;
pub mod results;
pub mod source;
pub mod value;
mod worker;

pub use contents::Listing;
pub use error::{Error, Result};
pub use images::{Images, Place};
pub use ops::exec::LogLimits;
pub use platforms::Platforms;
pub use remains::Remains;
pub use results::SnapshotResults;
pub use value::Value;
pub use worker::{Worker, WorkerOptions};
