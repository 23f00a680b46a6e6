//! Snapshots: file trees stacked on each other, and the directories that hold them.
//!
//! A [`Snapshotter`] knows directories only. Which snapshot stands on which, who uses it and what it is
//! called is told by `refs`; here a stack of parents is passed in with each call, so that nothing has to
//! be remembered twice. All implementations keep the same laws (`tests/snapshots.rs`); two are here:
//!
//! | | `overlay` | `native` |
//! |---|---|---|
//! | a new snapshot is | an empty directory | a full copy of its parent |
//! | its tree is | parents as lower directories, its own as the upper | its directory |
//! | what changed is | the directory itself, with whiteouts | the difference of two trees |
//!
//! Making a snapshot mounts nothing. A snapshot that is being written is named like a committed one; only
//! the row that `refs` writes at commit tells them apart, so that a commit is one insert and a crash leaves
//! a directory without a row.
//!
//! A third is what a store is given that rests on another program's snapshots ([`crate::Backend`]).

mod below;
mod copy;
mod disk_usage;
mod id;
mod native;
mod overlay;
mod probe;
mod remove;
mod xattr;

use std::path::{Path, PathBuf};

use slipway_model::mount::Tree;

use crate::error::Result;
pub(crate) use copy::link_tree;
pub use copy::{copy_directory_attributes, copy_tree, copy_tree_from, finish_copy};
pub use disk_usage::{DiskUsage, disk_usage};
pub use id::SnapshotId;
pub use native::Native;
pub use overlay::Overlay;
pub(crate) use remove::list as list_snapshots;
pub use remove::{Bin, remove_tree};

/// Keeps the directories of snapshots. `parents` are always the whole stack, from the nearest down.
pub trait Snapshotter: Send + Sync {
    /// As users name it.
    fn name(&self) -> &str;

    /// Whether [`changes`](Self::changes) of a snapshot are a directory of their own, so that one can be filled
    /// before what is below it is there, and its files may be shared with others.
    fn is_layered(&self) -> bool;

    /// Makes a new writable snapshot on `parents`.
    fn prepare(&self, id: &SnapshotId, parents: &[SnapshotId]) -> Result<()>;

    /// What to mount to see (or write) it.
    fn tree(&self, id: &SnapshotId, parents: &[SnapshotId], writable: bool) -> Tree;

    /// Nothing writes to it any more: gives back what only a writer needs.
    fn commit(&self, id: &SnapshotId) -> Result<()>;

    /// Removes it, whatever state it is in; fine if it does not exist.
    fn remove(&self, id: &SnapshotId) -> Result<()>;

    /// [`remove`](Self::remove) that only moves it into the bin, for those who cannot wait.
    fn discard(&self, id: &SnapshotId) -> Result<()>;

    /// How to find what it changed relative to its parent, and where a layer is applied.
    fn changes(&self, id: &SnapshotId, parents: &[SnapshotId]) -> Changes;

    /// The disk space of its own directory.
    fn usage(&self, id: &SnapshotId) -> Result<DiskUsage>;

    /// All that have a directory, committed or not.
    fn list(&self) -> Result<Vec<SnapshotId>>;

    /// Whether it is still there, committed or not: others may be able to take it away. Free where they are not.
    fn exists(&self, _id: &SnapshotId) -> Result<bool> {
        Ok(true)
    }

    /// Gives back the space of what was removed, if removing it did not; returns when that is done.
    fn collect(&self) -> Result<()> {
        Ok(())
    }
}

/// Where the changes of a snapshot are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// An overlayfs upper directory: it holds what was added or changed. A character device 0/0 hides the
    /// name below it, a directory with the xattr `<xattr_prefix>opaque` = `y` hides all names below it.
    Upper { upper: PathBuf, xattr_prefix: &'static str },
    /// Two whole trees to be compared; without `lower` everything in `upper` is new.
    Trees { lower: Option<PathBuf>, upper: PathBuf },
}

impl Changes {
    /// The directory that this snapshot alone owns, and that is written to apply a layer.
    pub fn directory(&self) -> &Path {
        match self {
            Self::Upper { upper, .. } | Self::Trees { upper, .. } => upper,
        }
    }
}

/// Which snapshotter to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SnapshotterChoice {
    /// What the root was made with; in a new root overlay where it works, else native.
    #[default]
    Auto,
    Overlay,
    Native,
}
