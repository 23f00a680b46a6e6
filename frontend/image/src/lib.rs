//! Being a frontend in an image: what a program needs that a builder runs as `gateway.v0`.
//!
//! The builder starts it with its options in the environment and serves `LLBBridge` on its standard streams, HTTP/2
//! without TLS. [`Builder::connect`] reads the one and opens the other; [`Builder::solve`] turns graphs into
//! references; [`Builder::finish`] hands in the result or the error. Nothing here is about Dockerfiles: the binary
//! `slipway-frontend` of this crate is one user, `docs/examples/packs` another.

mod builder;
mod connection;
mod error;

pub use builder::{Builder, Output, Solved};
pub use error::{Error, Result};
