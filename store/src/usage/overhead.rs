//! What is in the root and in no record: the database and its log, the reserve, what is on its way in or out, and
//! the directories that hold it all.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::{At as _, Result, if_exists};
use crate::snapshot::disk_usage;
use crate::store::Store;

/// Below these lie what records tell of: snapshots by snapshotter, blobs by their first digits.
const HOLDERS: [&str; 2] = ["snapshots", "blobs"];

impl Store {
    /// Bytes on the disk below the root that no record tells of: with those of [`usage`](Self::usage), they are what
    /// `du` counts.
    pub fn overhead(&self) -> Result<u64> {
        let root = self.root();
        let mut bytes = own(root)?;
        for entry in std::fs::read_dir(root).at("list", root)? {
            let entry = entry.at("list", root)?;
            bytes += if HOLDERS.iter().any(|holder| entry.file_name() == *holder) {
                self.holders(&entry.path())?
            } else {
                if_exists(disk_usage(&entry.path()))?.map_or(0, |usage| usage.bytes)
            };
        }
        Ok(bytes)
    }

    /// The directories of a holder themselves, as deep as its entries lie.
    fn holders(&self, top: &Path) -> Result<u64> {
        let snapshots = top.file_name().is_some_and(|name| name == "snapshots");
        let mut bytes = own(top)?;
        for entry in std::fs::read_dir(top).at("list", top)? {
            let path = entry.at("list", top)?.path();
            bytes += own(&path)?;
            if !snapshots {
                for fan in std::fs::read_dir(&path).at("list", &path)? {
                    bytes += own(&fan.at("list", &path)?.path())?;
                }
            }
        }
        Ok(bytes)
    }
}

/// Of a file or directory itself; nothing if it is gone.
fn own(path: &Path) -> Result<u64> {
    let found = if_exists(path.symlink_metadata().at("stat", path))?;
    Ok(found.map_or(0, |metadata| metadata.blocks() * 512))
}
