//! Operations as Go's `encoding/json` writes the reference's types: the form of provenance and of `buildctl debug
//! dump-llb`.
//!
//! The operation itself is a member `Op` beside its inputs, platform and constraints. Enumerations are numbers, bytes
//! base64, and members that say nothing are left out, but for the indices of a file action, which are always there.

mod members;
mod operation;

pub use members::Members;
pub use operation::{locations, operation};
