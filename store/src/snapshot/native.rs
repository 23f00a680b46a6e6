//! Snapshots as plain directories, each a full copy of its parent: for filesystems and sandboxes in which
//! overlays do not work. Slow and large, except where the filesystem shares blocks (btrfs, xfs).

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use slipway_model::mount::Tree;

use super::remove::Bin;
use super::{Changes, DiskUsage, SnapshotId, Snapshotter, copy, copy_tree, disk_usage};
use crate::error::{At as _, Result};
use crate::fault::{self, Point};

pub struct Native {
    root: PathBuf,
    bin: Bin,
}

impl Native {
    /// `root` and `bin` on one filesystem.
    pub fn open(root: &Path, bin: Bin) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root).at("create", root)?;
        Ok(Self { root: root.into(), bin })
    }

    fn directory(&self, id: &SnapshotId) -> PathBuf {
        self.root.join(id.as_str())
    }

    fn tree_directory(&self, id: &SnapshotId) -> PathBuf {
        self.directory(id).join("fs")
    }
}

impl Snapshotter for Native {
    fn name(&self) -> &str {
        "native"
    }

    fn is_layered(&self) -> bool {
        false
    }

    fn prepare(&self, id: &SnapshotId, parents: &[SnapshotId]) -> Result<()> {
        let directory = self.directory(id);
        let tree = self.tree_directory(id);
        fault::pass(Point::SnapshotDirectory).at("create", &directory)?;
        DirBuilder::new().mode(0o700).create(&directory).at("create", &directory)?;
        fault::pass(Point::SnapshotDirectory).at("create", &tree)?;
        DirBuilder::new().mode(0o755).create(&tree).at("create", &tree)?;
        match parents.first() {
            Some(parent) => copy_tree(&self.tree_directory(parent), &tree),
            None => copy::set_mode(&tree, 0o755),
        }
    }

    fn tree(&self, id: &SnapshotId, _parents: &[SnapshotId], writable: bool) -> Tree {
        Tree::Bind { source: self.tree_directory(id), readonly: !writable }
    }

    fn commit(&self, _id: &SnapshotId) -> Result<()> {
        Ok(())
    }

    fn remove(&self, id: &SnapshotId) -> Result<()> {
        self.bin.throw(&self.directory(id))
    }

    fn discard(&self, id: &SnapshotId) -> Result<()> {
        self.bin.hide(&self.directory(id)).map(|_| ())
    }

    fn changes(&self, id: &SnapshotId, parents: &[SnapshotId]) -> Changes {
        let lower = parents.first().map(|parent| self.tree_directory(parent));
        Changes::Trees { lower, upper: self.tree_directory(id) }
    }

    fn usage(&self, id: &SnapshotId) -> Result<DiskUsage> {
        disk_usage(&self.directory(id))
    }

    fn list(&self) -> Result<Vec<SnapshotId>> {
        super::remove::list(&self.root)
    }
}
