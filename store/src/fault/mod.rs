//! Faults on purpose: dying, or failing, at a place of one's choice.
//!
//! Everything that changes a file of the store goes past a [`Point`] first, and so do the writes of the
//! database, which holds the rows of all rooms ([`mod@database`]). Tests run a process with `SLIPWAY_FAULT` set and
//! look at what it leaves:
//!
//! | `SLIPWAY_FAULT` | does |
//! |---|---|
//! | `kill@17` | dies (SIGKILL) at the 17th point that is passed |
//! | `torn@17` | the same, but a write that is in progress there gets half of its bytes out first |
//! | `enospc@17`, `eio@17` | that point fails |
//! | `enospc@17+` | that point and all after it fail |
//! | `kill@blob.rename:3` | the same, counting only this point |
//!
//! With `SLIPWAY_FAULT_TRACE=FILE` the name of each point is appended to a file, a line for each.
//!
//! **Nothing of this is in a release build.** The hooks are compiled with `debug_assertions` only, so that
//! the binary which all tests drive has them and no second one has to be built; without, [`pass`] is an empty
//! inlined function and the variables mean nothing.

#[cfg(debug_assertions)]
mod armed;
#[cfg(debug_assertions)]
mod database;

/// Declares the points, with their names.
macro_rules! points {
    ($($point:ident = $name:literal,)*) => {
        /// What is about to be done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point { $($point),* }

        impl Point {
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// As `SLIPWAY_FAULT` calls it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$point => $name),* }
            }
        }
    };
}

points! {
    // A write into the database or its log, a change of their length, and the removal of the log.
    DatabaseWrite = "database.write",
    DatabaseTruncate = "database.truncate",
    DatabaseUnlink = "database.unlink",
    // The end of a transaction; the log into the database; files and log to the disk.
    Commit = "metadata.commit",
    Checkpoint = "metadata.checkpoint",
    SyncFiles = "metadata.syncfs",
    SyncLog = "metadata.sync-log",
    SetAside = "metadata.set-aside",
    Layout = "store.layout",
    ReserveTake = "reserve.take",
    ReserveGive = "reserve.give",
    BlobCreate = "blob.create",
    BlobWrite = "blob.write",
    BlobDirectory = "blob.directory",
    BlobRename = "blob.rename",
    BlobRow = "blob.row",
    BlobAbandon = "blob.abandon",
    BlobUnlink = "blob.unlink",
    SnapshotDirectory = "snapshot.directory",
    SnapshotAttributes = "snapshot.attributes",
    SnapshotCommit = "snapshot.commit",
    SnapshotRow = "snapshot.row",
    // One entry of a tree that is copied, removed, unpacked, or moved into place.
    TreeCopy = "tree.copy",
    TreeRemove = "tree.remove",
    LayerEntry = "layer.entry",
    LayerMove = "layer.move",
    BinRename = "bin.rename",
    // Rows are gone, durably; files are not yet.
    PruneFiles = "prune.files",
    CacheMountRow = "cache-mount.row",
}

/// Goes past `point`: an error is what the operation that follows is to fail with.
#[cfg(debug_assertions)]
pub fn pass(point: Point) -> Result<(), rustix::io::Errno> {
    armed::pass(point)
}

/// Goes past `point`, where nothing happens in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn pass(_: Point) -> Result<(), rustix::io::Errno> {
    Ok(())
}

/// Lets the writes of the database go past their points; before the first database is opened.
pub(crate) fn watch_database() {
    #[cfg(debug_assertions)]
    database::watch();
}
