//! One build: what it was asked, what it tells, what it makes.
//!
//! ```text
//! request   what Control.Solve was asked, checked
//! solve     frontend or definition -> results -> exporters -> response
//! frontend  the built-in Dockerfile frontend at work, and its gateway into the solver
//! attest    what is said about results: provenance, bills of materials (sbom)
//! verify    whether they are for the platforms that were asked for
//! lock      what sources may come to, from the client and back to it
//! sources   questions about sources: policies, then an answer
//! images    the same for the names of images
//! export    results to where they were asked for
//! caches    caches that travel: which are imported, what is exported
//! outputs   files for the client, through its session
//! journal   what watchers are told
//! failure   errors with what a client needs to show them
//! ```

pub(crate) mod attest;
pub(crate) mod builds;
pub(crate) mod caches;
pub(crate) mod export;
pub(crate) mod failure;
pub(crate) mod frontend;
pub(crate) mod gateway;
pub(crate) mod images;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod outputs;
pub(crate) mod request;
pub(crate) mod result;
pub(crate) mod sbom;
pub(crate) mod solve;
pub(crate) mod sources;
mod verify;

pub(crate) use builds::{Build, Builds, Watched};
