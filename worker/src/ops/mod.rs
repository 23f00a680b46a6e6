//! LLB operations as the solver runs them.
//!
//! [`graph`] turns a definition into solver vertices; each kind of operation has a module with one
//! implementation of `solver::Op`. How an operation is cached is told by [`cache_key`] alone.

mod build_op;
pub mod cache_key;
mod content;
mod diff;
pub(crate) mod exec;
pub mod file;
mod file_op;
pub mod graph;
mod image;
mod material;
mod merge;
mod passthrough;
mod room;
mod sharing;
mod source;

pub(crate) use image::Transfers;
pub(crate) use room::is_for_want_of_space;

pub use graph::{Scope, TravellingMounts, cache_key_of, load, name_of, post_order, renewed_caches};
pub use material::{Bundle, Material};
