//! Snapshots as overlayfs layers: a directory per snapshot that is the upper directory while it is written
//! and a lower one ever after.
//!
//! ```text
//! <root>/<id>/fs     what this snapshot adds, changes and hides
//! <root>/<id>/work   overlayfs' own, only while it is written
//! ```
//!
//! overlayfs takes owner, mode, times and xattrs of a mounted root from the topmost directory, so a new `fs`
//! begins with those of the one below it. The kernel stacks at most [`LAYER_LIMIT`] layers.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use slipway_model::mount::{OverlayUpper, Tree};

use super::remove::Bin;
use super::{Changes, DiskUsage, SnapshotId, Snapshotter, copy, disk_usage, probe};
use crate::error::{At as _, Error, Result};
use crate::fault::{self, Point};

/// The kernel's `OVL_MAX_STACK`.
const LAYER_LIMIT: usize = 500;

pub struct Overlay {
    root: PathBuf,
    bin: Bin,
    xattr_prefix: &'static str,
}

impl Overlay {
    /// `root` and `bin` on one filesystem. [`Error::NoOverlay`] if overlays cannot be mounted there.
    pub fn open(root: &Path, bin: Bin) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root).at("create", root)?;
        let xattr_prefix = probe::overlay(root)
            .map_err(|source| Error::NoOverlay { root: root.into(), source: Box::new(source) })?;
        Ok(Self { root: root.into(), bin, xattr_prefix })
    }

    fn directory(&self, id: &SnapshotId) -> PathBuf {
        self.root.join(id.as_str())
    }

    fn upper(&self, id: &SnapshotId) -> PathBuf {
        self.directory(id).join("fs")
    }

    fn work(&self, id: &SnapshotId) -> PathBuf {
        self.directory(id).join("work")
    }
}

impl Snapshotter for Overlay {
    fn name(&self) -> &str {
        "overlay"
    }

    fn is_layered(&self) -> bool {
        true
    }

    fn prepare(&self, id: &SnapshotId, parents: &[SnapshotId]) -> Result<()> {
        if parents.len() >= LAYER_LIMIT {
            return Err(Error::TooManyLayers { limit: LAYER_LIMIT });
        }
        let directory = self.directory(id);
        let upper = self.upper(id);
        fault::pass(Point::SnapshotDirectory).at("create", &directory)?;
        DirBuilder::new().mode(0o700).create(&directory).at("create", &directory)?;
        fault::pass(Point::SnapshotDirectory).at("create", &upper)?;
        DirBuilder::new().mode(0o755).create(&upper).at("create", &upper)?;
        fault::pass(Point::SnapshotAttributes).at("set the attributes of", &upper)?;
        match parents.first() {
            Some(parent) => {
                let work = self.work(id);
                DirBuilder::new().mode(0o700).create(&work).at("create", &work)?;
                copy::copy_directory_attributes(&self.upper(parent), &upper)
            }
            None => copy::set_mode(&upper, 0o755),
        }
    }

    fn tree(&self, id: &SnapshotId, parents: &[SnapshotId], writable: bool) -> Tree {
        let upper = self.upper(id);
        if parents.is_empty() {
            return Tree::Bind { source: upper, readonly: !writable };
        }
        let below = parents.iter().map(|parent| self.upper(parent));
        if writable {
            let upper = Some(OverlayUpper { upper, work: self.work(id) });
            Tree::Overlay { lowers: below.collect(), upper }
        } else {
            Tree::Overlay { lowers: std::iter::once(upper).chain(below).collect(), upper: None }
        }
    }

    fn commit(&self, id: &SnapshotId) -> Result<()> {
        let work = self.work(id);
        fault::pass(Point::SnapshotCommit).at("commit", &work)?;
        if work.symlink_metadata().is_ok() { super::remove_tree(&work) } else { Ok(()) }
    }

    fn remove(&self, id: &SnapshotId) -> Result<()> {
        self.bin.throw(&self.directory(id))
    }

    fn discard(&self, id: &SnapshotId) -> Result<()> {
        self.bin.hide(&self.directory(id)).map(|_| ())
    }

    fn changes(&self, id: &SnapshotId, _parents: &[SnapshotId]) -> Changes {
        Changes::Upper { upper: self.upper(id), xattr_prefix: self.xattr_prefix }
    }

    fn usage(&self, id: &SnapshotId) -> Result<DiskUsage> {
        disk_usage(&self.directory(id))
    }

    fn list(&self) -> Result<Vec<SnapshotId>> {
        super::remove::list(&self.root)
    }
}
