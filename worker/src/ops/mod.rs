//! LLB operations as the solver runs them.
//!
//! [`graph`] turns a definition into solver vertices; each kind of operation has a module with one
//! implementation of `solver::Op`. How an operation is cached is told by [`cache_key`] alone.

pub mod cache_key;
mod content;
mod exec;
pub mod file;
mod file_op;
pub mod graph;
mod image;
mod merge;
mod room;
mod source;

pub use graph::{Scope, load};
