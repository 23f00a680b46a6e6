//! The rows of snapshots.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, params};
use slipway_model::BlobDigest;

use super::RecordType;
use crate::metadata::raw_value;
use crate::snapshot::SnapshotId;

/// The epoch of a mutable snapshot in use: whatever a power loss leaves of it is not to be trusted.
pub(crate) const IN_USE: i64 = i64::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: SnapshotId,
    pub(crate) parent: Option<SnapshotId>,
    pub(crate) mutable: bool,
    pub(crate) record_type: RecordType,
    pub(crate) description: String,
    pub(crate) created: i64,
    pub(crate) last_used: Option<i64>,
    pub(crate) usage_count: i64,
    pub(crate) size: Option<u64>,
}

const COLUMNS: &str = "id, parent, mutable, record_type, description, created, last_used, usage_count, size";

fn row(row: &rusqlite::Row<'_>) -> Result<Row> {
    Ok(Row {
        id: row.get(0)?,
        parent: row.get(1)?,
        mutable: row.get(2)?,
        record_type: row.get(3)?,
        description: row.get(4)?,
        created: row.get(5)?,
        last_used: row.get(6)?,
        usage_count: row.get(7)?,
        size: row.get(8)?,
    })
}

pub(super) fn get(db: &Connection, id: &SnapshotId) -> Result<Option<Row>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM snapshot WHERE id = ?1"))?
        .query_row([id], row)
        .optional()
}

pub(crate) fn all(db: &Connection) -> Result<Vec<Row>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM snapshot ORDER BY created, id"))?
        .query_map([], row)?
        .collect()
}

/// The first `limit` rows whose ids come after `last`.
pub(crate) fn page(db: &Connection, last: Option<&SnapshotId>, limit: usize) -> Result<Vec<Row>> {
    let last = last.map(SnapshotId::as_str).unwrap_or_default();
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM snapshot WHERE id > ?1 ORDER BY id LIMIT ?2"))?
        .query_map(params![last, limit as i64], row)?
        .collect()
}

/// Those whose size is not known.
pub(crate) fn unmeasured(db: &Connection) -> Result<Vec<Row>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM snapshot WHERE size IS NULL"))?
        .query_map([], row)?
        .collect()
}

/// The snapshots that a blob is a form of.
pub(crate) fn of_blob(db: &Connection, digest: &BlobDigest) -> Result<Vec<SnapshotId>> {
    db.prepare_cached("SELECT snapshot FROM layer WHERE digest = ?1")?
        .query_map([digest.to_string()], |row| row.get(0))?
        .collect()
}

/// Removes rows that do not hold what was put in. How many those were.
pub(crate) fn delete_damaged(db: &Connection) -> Result<usize> {
    let mut damaged: Vec<Value> = Vec::new();
    let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM snapshot"))?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        if row(found).is_err() {
            damaged.push(raw_value(found, 0)?);
        }
    }
    damaged.iter().try_fold(0, |count, id| {
        Ok(count + db.execute("DELETE FROM snapshot WHERE CAST(id AS BLOB) = CAST(?1 AS BLOB)", [id])?)
    })
}

pub(super) fn insert(db: &Connection, new: &Row, epoch: i64) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO snapshot
         (id, parent, mutable, record_type, description, created, last_used, usage_count, size, epoch)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        new.id,
        new.parent,
        new.mutable,
        new.record_type,
        new.description,
        new.created,
        new.last_used,
        new.usage_count,
        new.size,
        epoch
    ])?;
    Ok(())
}

pub(super) fn size(db: &Connection, id: &SnapshotId) -> Result<Option<u64>> {
    let size: Option<Option<u64>> = db
        .prepare_cached("SELECT size FROM snapshot WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(size.flatten())
}

pub(crate) fn set_size(db: &Connection, id: &SnapshotId, size: u64) -> Result<()> {
    db.prepare_cached("UPDATE snapshot SET size = ?2 WHERE id = ?1")?.execute(params![id, size])?;
    Ok(())
}

/// [`set_size`] for a size that may be of a moment ago: those of shared files change with others, and are measured
/// when somebody asks.
pub(crate) fn set_size_unless_shared(db: &Connection, id: &SnapshotId, size: u64) -> Result<()> {
    db.prepare_cached(
        "UPDATE snapshot SET size = ?2 WHERE id = ?1
         AND NOT EXISTS (SELECT 1 FROM sharing WHERE snapshot = ?1 OR other = ?1)",
    )?
    .execute(params![id, size])?;
    Ok(())
}

pub(super) fn set_description(db: &Connection, id: &SnapshotId, description: &str) -> Result<()> {
    db.prepare_cached("UPDATE snapshot SET description = ?2 WHERE id = ?1")?
        .execute(params![id, description])?;
    Ok(())
}

/// Adds uses to a row, the last at `last`.
pub(super) fn add_uses(db: &Connection, id: &SnapshotId, count: i64, last: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE snapshot SET usage_count = usage_count + ?2, last_used = max(coalesce(last_used, 0), ?3)
         WHERE id = ?1",
    )?
    .execute(params![id, count, last])?;
    Ok(())
}

/// A mutable snapshot is written from now on; answers with its epoch before.
pub(super) fn set_in_use(db: &Connection, id: &SnapshotId) -> Result<i64> {
    let before =
        db.prepare_cached("SELECT epoch FROM snapshot WHERE id = ?1")?.query_row([id], |row| row.get(0))?;
    set_epoch(db, id, IN_USE)?;
    Ok(before)
}

/// A mutable snapshot has been written, and is free: its size is unknown, and so are those of snapshots that have
/// names for files which it may have replaced.
pub(super) fn set_free(db: &Connection, id: &SnapshotId, epoch: i64) -> Result<()> {
    set_epoch(db, id, epoch)?;
    forget_shared_sizes(db, id)
}

fn set_epoch(db: &Connection, id: &SnapshotId, epoch: i64) -> Result<()> {
    db.prepare_cached("UPDATE snapshot SET epoch = ?2, size = NULL WHERE id = ?1")?
        .execute(params![id, epoch])?;
    Ok(())
}

/// Notes that `id` has, or will have, names for files of `others`. All sizes that this changes are to be measured again.
pub(super) fn share(db: &Connection, id: &SnapshotId, others: &[SnapshotId]) -> Result<()> {
    for other in others {
        db.prepare_cached("INSERT OR IGNORE INTO sharing (snapshot, other) VALUES (?1, ?2)")?
            .execute(params![id, other])?;
    }
    if others.is_empty() { Ok(()) } else { forget_shared_sizes(db, id) }
}

/// Takes back [`share`] of a snapshot that came to nothing.
pub(super) fn unshare(db: &Connection, id: &SnapshotId) -> Result<()> {
    forget_shared_sizes(db, id)?;
    db.prepare_cached("DELETE FROM sharing WHERE snapshot = ?1")?.execute([id])?;
    Ok(())
}

/// Sizes of all that may share files with `id`, directly or through others.
fn forget_shared_sizes(db: &Connection, id: &SnapshotId) -> Result<()> {
    db.prepare_cached(
        "WITH RECURSIVE related (id) AS (
             VALUES (?1)
             UNION SELECT other FROM sharing JOIN related ON snapshot = id
             UNION SELECT snapshot FROM sharing JOIN related ON other = id
         )
         UPDATE snapshot SET size = NULL WHERE id IN related AND size IS NOT NULL",
    )?
    .execute([id])?;
    Ok(())
}

/// Removes the row, unless another stands on it. Whether it did.
pub(crate) fn delete_leaf(db: &Connection, id: &SnapshotId) -> Result<bool> {
    let shares: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sharing WHERE snapshot = ?1 OR other = ?1)")?
        .query_row([id], |row| row.get(0))?;
    if shares {
        forget_shared_sizes(db, id)?;
    }
    let removed = db
        .prepare_cached(
            "DELETE FROM snapshot WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM snapshot AS child WHERE child.parent = ?1)",
        )?
        .execute([id])?;
    Ok(removed > 0)
}

/// Removes the row with those of all that stand on it; answers with what went. Nothing if any of it `is_used`.
pub(crate) fn delete_with_descendants(
    db: &Connection,
    id: &SnapshotId,
    is_used: impl Fn(&SnapshotId) -> bool,
) -> Result<Vec<SnapshotId>> {
    let gone: Vec<SnapshotId> = db
        .prepare_cached(
            "WITH RECURSIVE above (id) AS (
                 VALUES (?1)
                 UNION SELECT snapshot.id FROM snapshot JOIN above ON snapshot.parent = above.id
             )
             SELECT id FROM above",
        )?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_>>()?;
    if gone.iter().any(is_used) {
        return Ok(Vec::new());
    }
    for id in &gone {
        forget_shared_sizes(db, id)?;
        db.prepare_cached("DELETE FROM snapshot WHERE id = ?1")?.execute([id])?;
    }
    Ok(gone)
}
