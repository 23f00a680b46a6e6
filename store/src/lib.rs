//! Where bytes rest: blobs, snapshots, and the small facts about them.
//!
//! | module | holds |
//! |---|---|
//! | [`metadata`] | the database, and what survives a crash |
//! | [`blob`] | content-addressed files |
//! | [`snapshot`] | directories that stack up to file trees |
//! | [`refs`] | who uses which snapshot: `Ref`, `Active`, names, layer facts, cache mounts |
//! | [`layer`] | snapshots to layer blobs and back |
//! | [`usage`] | disk usage, filters, pruning |
//! | [`fault`] | dying and failing on purpose, for tests |
//! | [`check`] | looking at a root that nobody uses: do rows and files agree |
//! | [`inroot`] | reading files of a foreign tree without leaving it |
//!
//! [`Store`] is the door to all of them. Everything here blocks (disk, SQLite) and is called from
//! blocking threads; only waiting for a locked cache mount is async. Absent on purpose: registries
//! (`store/registry`), what a step or an image is (`worker`), and any mount that outlives a descriptor.

pub mod blob;
pub mod check;
pub mod content_hash;
mod cores;
pub mod error;
pub mod fault;
pub mod inroot;
pub mod layer;
pub mod metadata;
pub mod mounted;
pub mod refs;
pub mod snapshot;
pub mod store;
pub mod usage;

pub use blob::{BlobLease, Blobs, Ingest, StoredBlob};
pub use cores::cores;
pub use error::{Error, Result};
pub use metadata::{Durability, Metadata, MetadataOptions};
pub use mounted::Mounted;
pub use refs::{
    Active, CacheMount, LayerBlob, LayerFacts, Moved, PrepareOptions, RecordType, Ref, Seed, Sharing,
};
pub use snapshot::{Changes, DiskUsage, SnapshotId, SnapshotterChoice};
pub use store::{Backend, Clock, Store, StoreOptions};
pub use usage::{Filter, PruneOptions, SharedBlobs, UsageRecord};
