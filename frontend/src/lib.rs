//! From a Dockerfile to an LLB graph.
//!
//! `dockerfile` turns bytes into a syntax tree, `plan` decides what of it is needed, `lower` writes
//! the graph. Nothing here executes anything: what has to be known from outside is asked through a gateway.

pub mod dockerfile;
mod gateway_provisional;
pub mod lint;
pub mod plan;
pub use gateway_provisional::*;
