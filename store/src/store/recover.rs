//! Making rows and files agree again after a crash.

use std::collections::HashSet;

use rusqlite::Connection;

use crate::blob::Blobs;
use crate::error::Result;
use crate::metadata::Metadata;
use crate::refs::table::{self, IN_USE};
use crate::snapshot::{SnapshotId, Snapshotter};
use crate::store::delete_hanging;

/// Drops rows whose files may be torn or are missing, with all that stands on them; then removes files
/// that have no row. After a clean end only where others may have taken something (`is_foreign`).
pub(super) fn recover(
    metadata: &Metadata,
    snapshotter: &dyn Snapshotter,
    blobs: &Blobs,
    is_foreign: bool,
) -> Result<()> {
    let mut recovery = metadata.recovery();
    recovery.unclean |= is_foreign;
    let damaged = metadata.with(table::delete_damaged)?;
    if damaged > 0 {
        tracing::warn!(rows = damaged, "damaged rows of snapshots are removed");
        metadata.expect_leftovers();
    }
    blobs.recover(recovery)?;
    if !recovery.unclean {
        return Ok(());
    }
    let mark = metadata.mark();
    let there: HashSet<SnapshotId> = snapshotter.list()?.into_iter().collect();
    let kept = metadata.with_epoch(|db, now| {
        // Links come and go with the files below, and what was being written has another size by now.
        db.execute(UNMEASURED, [])?;
        if let Some(epoch) = recovery.drop_after {
            db.execute("DELETE FROM snapshot WHERE epoch > ?1", [epoch])?;
        }
        for id in ids(db)? {
            if !there.contains(&id) {
                db.execute("DELETE FROM snapshot WHERE id = ?1", [id])?;
            }
        }
        while db.execute(ORPHANS, [])? > 0 {}
        delete_hanging(db)?;
        // Nobody uses any of them now: they are as good as what is made from here on.
        db.execute("UPDATE snapshot SET epoch = ?1 WHERE epoch = ?2", [now, IN_USE])?;
        ids(db)
    })?;
    let leftovers: Vec<_> = there.into_iter().filter(|id| !kept.contains(id)).collect();
    if !leftovers.is_empty() {
        // Only files wait for it: rows that come back are dropped again.
        metadata.flush_durable(mark)?;
        tracing::info!(snapshots = leftovers.len(), "removing what an interrupted run left behind");
    }
    leftovers.iter().try_for_each(|id| snapshotter.discard(id))
}

const UNMEASURED: &str = "UPDATE snapshot SET size = NULL WHERE mutable
     OR id IN (SELECT snapshot FROM sharing UNION SELECT other FROM sharing)";

const ORPHANS: &str = "DELETE FROM snapshot WHERE parent IS NOT NULL
     AND parent NOT IN (SELECT id FROM snapshot)";

fn ids(db: &Connection) -> rusqlite::Result<HashSet<SnapshotId>> {
    db.prepare("SELECT id FROM snapshot")?.query_map([], |row| row.get(0))?.collect()
}
