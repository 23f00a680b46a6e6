//! Why a step ran again: builds remembered as graphs of key material, and the difference between two.
//!
//! # What is compared
//!
//! A step is found in the cache under a key made of its operation and of what its inputs are called. So
//! a step that ran although a similar one was cached differs from it in one of these, and nothing else:
//!
//! | what | compared by | told as |
//! |---|---|---|
//! | the operation | the text that its digest is of ([`material`]) | argument, variable, mount, user, … |
//! | an input looked at by content | the key of that content, then the lists behind both ([`files`]) | names of files, and what changed of them |
//! | an input known by its definition | its keys, then the same comparison, one step further down ([`compare`]) | the cause down there |
//! | a source | reference and digest | the base image |
//!
//! If none of them differs, the key is the same and something else kept the record from being used:
//! it was pruned, did not load, never came to be, or was not to be asked. Those are reasons, too
//! ([`cause::Kind`]).
//!
//! # What it is compared with
//!
//! With the step in the same place of an earlier build ([`align`]), of the build in which it differs in the
//! fewest things; among equals, the most recent ([`nearest`]).
//!
//! # What is kept
//!
//! The latest builds as lists of steps; their operations' texts and the lists of files once each, for as
//! long as one of these builds names them ([`history`]). Values that look like secrets are kept as
//! digests ([`redact`]).
//!
//! Deliberately absent: any influence on what is cached. Nothing here is asked by the solver.

pub mod align;
pub mod build;
pub mod cause;
pub mod compare;
pub mod difference;
pub mod error;
pub mod files;
pub mod history;
pub mod inherit;
pub mod material;
pub mod nearest;
pub mod redact;
mod words;

pub use build::{Build, Input, Outcome, Step};
pub use cause::{Cause, FileChange, Kind};
pub use error::{Error, Result};
pub use history::History;
pub use material::Material;
