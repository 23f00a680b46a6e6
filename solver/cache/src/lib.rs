//! The solver's memory on disk: which results exist, under which keys, and what leads to them.
//!
//! | what | where |
//! |---|---|
//! | the record store over the metadata database | [`disk`] |
//! | whether the rows of a cache that nobody uses can be right | [`check`] |
//! | turning values into durable names and back, which is others' business | [`results`] |
//! | the tables | [`tables`] |
//! | caches that travel | [`remote`] |
//! | contents of cache mounts that travel with them | [`mounts`] |
//! | when records were last used, written in batches | [`used`] |
//!
//! # Who is right
//!
//! While the process runs, memory is: the whole graph of keys is read once and every question is
//! answered from it, so that a fully cached build asks the database nothing. Every change goes to the
//! database too, for the next process. A write that fails is logged and costs a cached result after
//! the next start, never a build.
//!
//! # What survives a crash
//!
//! Links are written before the record they lead to, in the order of one connection: a record that is
//! there can be found. A record carries the epoch of the metadata database; after a power loss those
//! above the durable epoch are dropped at opening, for their results may be torn. A record whose
//! result is gone all the same is found out when it is loaded, and forgotten.
//!
//! Absent on purpose: what a value is, how results are stored, and when to delete them. Whoever
//! deletes results says so ([`DiskRecords::forget_result`]).

pub mod check;
pub mod disk;
pub mod error;
pub mod mounts;
pub mod remote;
pub mod results;
mod tables;
mod used;

pub use disk::{DiskRecords, RecordUse};
pub use error::{Error, Result};
pub use results::{LoadError, ResultStore};
