//! Files without rows, looked for while the store is in use: after a full disk took rows that were not
//! committed yet, or files that could not be removed when their rows were. Without a reason nothing is
//! looked for, as after a kill the next open does it.

use std::collections::HashSet;

use crate::error::Result;
use crate::refs::table;
use crate::snapshot::SnapshotId;
use crate::store::Store;

impl Store {
    /// Removes what nobody knows, if there is reason to expect any; empties the bin in any case.
    pub(super) fn sweep(&self) -> Result<()> {
        if self.inner.metadata.take_leftovers() {
            let swept = self.sweep_snapshots().and_then(|all| Ok(all & self.blobs().sweep()?));
            if !matches!(swept, Ok(true)) {
                self.inner.metadata.expect_leftovers();
            }
            swept?;
            self.inner.metadata.with(crate::store::delete_hanging)?;
        }
        self.inner.housekeeper.empty_bin_now()
    }

    /// Whether all could be looked at.
    fn sweep_snapshots(&self) -> Result<bool> {
        let there = self.inner.snapshotter.list()?;
        let live = self.inner.live.lock();
        if live.is_making() {
            return Ok(false);
        }
        let known: HashSet<SnapshotId> =
            self.inner.metadata.with(table::all)?.into_iter().map(|row| row.id).collect();
        let mut all = true;
        for id in there.iter().filter(|id| !known.contains(id)) {
            if live.is_active(id) || live.is_used(id) {
                // A committed one that has lost its row goes when its user does.
                all &= live.is_active(id);
                continue;
            }
            self.inner.snapshotter.discard(id)?;
        }
        Ok(all)
    }
}
