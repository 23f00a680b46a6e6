//! Making rows and files agree again after a crash.

use std::collections::HashSet;

use rusqlite::Connection;

use crate::blob::Blobs;
use crate::error::Result;
use crate::metadata::Metadata;
use crate::snapshot::{SnapshotId, Snapshotter};

/// Drops rows whose files may be torn or are missing, with all that stands on them; then removes files
/// that have no row.
pub(super) fn recover(metadata: &Metadata, snapshotter: &dyn Snapshotter, blobs: &Blobs) -> Result<()> {
    let recovery = metadata.recovery();
    blobs.recover(recovery)?;
    if !recovery.unclean {
        return Ok(());
    }
    let there: HashSet<SnapshotId> = snapshotter.list()?.into_iter().collect();
    let kept = metadata.with(|db| {
        if let Some(epoch) = recovery.drop_after {
            db.execute("DELETE FROM snapshot WHERE epoch > ?1", [epoch])?;
        }
        for id in ids(db)? {
            if !there.contains(&id) {
                db.execute("DELETE FROM snapshot WHERE id = ?1", [id])?;
            }
        }
        while db.execute(ORPHANS, [])? > 0 {}
        db.execute("UPDATE snapshot SET size = NULL WHERE id IN (SELECT other FROM sharing)", [])?;
        ids(db)
    })?;
    let leftovers: Vec<_> = there.into_iter().filter(|id| !kept.contains(id)).collect();
    if !leftovers.is_empty() {
        // Only files wait for it: rows that come back are dropped again.
        metadata.flush_durable()?;
        tracing::info!(snapshots = leftovers.len(), "removing what an interrupted run left behind");
    }
    leftovers.iter().try_for_each(|id| snapshotter.discard(id))
}

const ORPHANS: &str = "DELETE FROM snapshot WHERE parent IS NOT NULL
     AND parent NOT IN (SELECT id FROM snapshot)";

fn ids(db: &Connection) -> rusqlite::Result<HashSet<SnapshotId>> {
    db.prepare("SELECT id FROM snapshot")?.query_map([], |row| row.get(0))?.collect()
}
