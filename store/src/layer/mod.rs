//! Layers: the form in which snapshots travel (OCI image-spec, "Image Layer Filesystem Changeset").
//!
//! | part | from → to |
//! |---|---|
//! | [`diff`] | a snapshot and what is below it → tar |
//! | [`compress`] | tar → blob, hashed before and after, on all cores |
//! | [`apply`] | blob → directory, hashed before and after |
//! | [`Ref::layers`](crate::Ref::layers) | a snapshot and all below it → blobs in the store |
//! | [`between`] | two trees → what turns one into the other |
//! | [`contents`] | a directory that is no snapshot → tar, and back |
//! | [`restack`] | what one snapshot changed → the same on top of another |
//! | [`unpack`] | blobs → snapshots, shared by chain id |
//! | [`whiteout`] | how "deleted" is written in a tar and in an overlay |
//! | [`tar`] | the archive format |
//!
//! Every byte is touched once: what is read is hashed, packed and written in the same pass. No path
//! from a layer is ever joined to a path of the host.

pub mod apply;
mod between;
pub mod compress;
pub mod contents;
pub mod diff;
mod error;
mod of_ref;
mod restack;
pub mod tar;
#[cfg(test)]
mod trees;
mod unpack;
pub mod whiteout;

pub use between::between;
pub use error::{Expected, LayerError};
pub use of_ref::{Layer, LayerOptions, diff as write_changes};
pub use restack::restack;
pub use unpack::{LayerInput, OpenLayer, unpack};

#[cfg(test)]
mod tests;
