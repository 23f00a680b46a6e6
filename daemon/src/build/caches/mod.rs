//! Caches that travel: which ones a build may use, and what it gives to others.
//!
//! | file | holds |
//! |---|---|
//! | [`options`] | what clients write: `type=registry,ref=…` |
//! | [`import`] | from such a place to a source of records; one that cannot be had is a warning |
//! | [`select`] | which results of a build an export takes along, and their layers |
//! | [`export`] | to registries and to the client |
//! | [`inline`] | into the config of the image that the build makes |
//! | [`target`] | where blobs and manifests go |
//! | [`mounts`] | cache mounts that travel along |
//! | [`objects`] | places that know no manifests: S3, Azure, GitHub Actions |
//!
//! # Modes of an export
//!
//! | mode | records | results |
//! |---|---|---|
//! | `min` | all on the way to the build's result | those whose layers are layers of the result |
//! | `max` | the same | every one that there is |
//!
mod export;
mod import;
mod inline;
mod mounts;
mod objects;
mod options;
mod select;
mod target;

pub(crate) use export::export;
pub(crate) use import::Imports;
pub(crate) use inline::carry_inline;
pub(crate) use mounts::Mounts;
pub(crate) use options::{CacheExport, entries, entry, of_frontend, prepare};
