//! The engine that solves build graphs: look up first, run last.
//!
//! It knows no LLB, no images, no containers: a [`Vertex`] is a digest, some inputs and an [`Op`];
//! what operations pass to each other is any `V`. Everything else is built on three questions, each
//! asked of one output of one vertex and each a memoised future:
//!
//! ```text
//! fast keys   what do my inputs' definitions already lead to?          runs nothing
//! lookup      what do the caches say, if inputs may be made for it?    may run inputs
//! result      from memory, from a cache, or by running
//! ```
//!
//! There is no event loop and no state per edge beside what was answered. The way of one edge is to
//! be read in [`resolve`]; who owns what, in [`node`]; how work ends when nobody wants it, in
//! [`interest`] and [`memo`].
//!
//! | what | where |
//! |---|---|
//! | the graph to be solved, and what stands behind a vertex | [`graph`], [`op`], [`context`] |
//! | a client's build | [`job`] |
//! | names of vertices, operations, cache keys | [`keys`] |
//! | "I have that result": stores, imported caches | [`records`] |
//! | what a build tells while it runs | [`progress`] |
//! | how each vertex got its result, for those who want to know why it ran | [`trace`] |
//! | where the time goes | [`phases`] |
//!
//! Limits on parallelism come from outside, too: a job may have one ([`JobOptions::parallelism`]), an
//! operation may bring one ([`Op::acquire`]); both are held around the execution only.
//!
//! Deliberately absent: timers, retries, chance, and any knowledge of what a value is.

mod board;
mod call;
pub mod context;
pub mod error;
mod executor;
mod flight;
pub mod graph;
mod interest;
pub mod job;
pub mod keys;
mod load;
mod memo;
mod node;
pub mod op;
mod permit;
pub mod phases;
pub mod progress;
pub mod records;
mod resolve;
mod solver;
pub mod trace;
mod weak_map;

pub use context::OpContext;
pub use error::{Contract, Error, Failure, Lost, Panicked, Result, SharedFailure, with_causes};
pub use executor::{Executor, Tokio};
pub use graph::{Edge, Vertex};
pub use job::{Built, Job, JobOptions};
pub use keys::{ContentDigest, KeyId, Link, OpDigest, RecordId, Selector, VertexDigest};
pub use op::{CacheMap, ContentDigestFn, InputRule, Op, OpResult, Permit, PrepareFn};
pub use phases::{Phase, PhaseSpan, PhaseTotal, Spent};
pub use progress::{Event, Progress, ProgressGroup, Silent, Status, VertexEvent, Warning};
pub use records::{KeyGraph, MemoryRecords, Record, RecordSource, RecordStore};
pub use slipway_model::Digest;
pub use solver::{Solver, SolverOptions};
pub use trace::{Answer, Trace};

/// What operations pass to each other: cheap to clone, a handle rather than the thing.
pub trait Value: Clone + Send + Sync + 'static {}

impl<T: Clone + Send + Sync + 'static> Value for T {}
