//! Where bytes rest: blobs, snapshots, and the small facts about them.
//!
//! | module | holds |
//! |---|---|
//! | [`metadata`] | the database, and what survives a crash |
//! | [`blob`] | content-addressed files |
//! | [`snapshot`] | directories that stack up to file trees |
//! | [`refs`] | who uses which snapshot: `Ref`, `Active`, names, layer facts, cache mounts |
//! | [`usage`] | disk usage, filters, pruning |
//! | [`inroot`] | reading files of a foreign tree without leaving it |
//!
//! [`Store`] is the door to all of them. Everything here blocks (disk, SQLite) and is called from
//! blocking threads; only waiting for a locked cache mount is async. Absent on purpose: registries
//! (`store/registry`), what a step or an image is (`worker`), and any mount that outlives a descriptor.

//TMP pub mod blob;
pub mod error;
//TMP pub mod inroot;
pub mod metadata;
pub mod mounted;
//TMP pub mod refs;
pub mod snapshot;
//TMP mod store;
//TMP pub mod usage;

pub use error::{Error, Result};
pub use metadata::{Durability, Metadata, MetadataOptions};
pub use mounted::Mounted;
pub use snapshot::{Changes, DiskUsage, SnapshotId, SnapshotterChoice};
