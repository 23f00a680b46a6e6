//! The rows: a record as protobuf, and the content it names.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, Result, params};
use slipway_proto::control::BuildHistoryRecord;

pub(super) const STEPS: &[&str] = &["
    CREATE TABLE history (
        name TEXT PRIMARY KEY,
        -- Nanoseconds since 1970; no end: it runs.
        created INTEGER NOT NULL,
        completed INTEGER,
        pinned INTEGER NOT NULL,
        record BLOB NOT NULL,
        epoch INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE history_content (
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        -- 1: a file of the history. 0: a blob of the cache, for as long as it is there.
        kept INTEGER NOT NULL,
        PRIMARY KEY (name, digest)
    ) STRICT;
    CREATE INDEX history_content_by_digest ON history_content (digest);
"];

/// A row, its record still encoded.
pub(super) struct Row {
    pub name: String,
    /// Whether the build has ended.
    pub ended: bool,
    pub record: Vec<u8>,
}

/// Content that a record names: its digest, and whether it is a file of the history.
pub(super) type Named = (String, bool);

/// Writes the row of `record`, with the content it names.
pub(super) fn put(db: &Connection, record: &BuildHistoryRecord, content: &[Named], epoch: i64) -> Result<()> {
    let name = &record.r#ref;
    let (created, completed) =
        (record.created_at.map_or(0, nanoseconds), record.completed_at.map(nanoseconds));
    db.prepare_cached("INSERT OR REPLACE INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        name,
        created,
        completed,
        record.pinned,
        record.encode_to_vec(),
        epoch
    ])?;
    db.prepare_cached("DELETE FROM history_content WHERE name = ?1")?.execute([name])?;
    let mut insert = db.prepare_cached("INSERT OR REPLACE INTO history_content VALUES (?1, ?2, ?3)")?;
    for (digest, kept) in content {
        insert.execute(params![name, digest, kept])?;
    }
    Ok(())
}

/// Changes the record of a row that is there, and nothing of its content.
pub(super) fn change(db: &Connection, record: &BuildHistoryRecord) -> Result<()> {
    db.prepare_cached("UPDATE history SET pinned = ?2, record = ?3 WHERE name = ?1")?.execute(params![
        record.r#ref,
        record.pinned,
        record.encode_to_vec()
    ])?;
    Ok(())
}

/// [`change`], and names more content. What it names may be torn as long as `epoch` is not durable.
pub(super) fn add_content(
    db: &Connection,
    record: &BuildHistoryRecord,
    (digest, kept): &Named,
    epoch: i64,
) -> Result<()> {
    change(db, record)?;
    let name = &record.r#ref;
    db.prepare_cached("UPDATE history SET epoch = ?2 WHERE name = ?1")?.execute(params![name, epoch])?;
    db.prepare_cached("INSERT OR REPLACE INTO history_content VALUES (?1, ?2, ?3)")?
        .execute(params![name, digest, kept])?;
    Ok(())
}

pub(super) fn get(db: &Connection, name: &str) -> Result<Option<Row>> {
    db.prepare_cached("SELECT name, completed IS NOT NULL, record FROM history WHERE name = ?1")?
        .query_row([name], row)
        .optional()
}

/// All rows, the oldest first.
pub(super) fn all(db: &Connection) -> Result<Vec<Row>> {
    db.prepare_cached("SELECT name, completed IS NOT NULL, record FROM history ORDER BY created, name")?
        .query_map([], row)?
        .collect()
}

/// The names of those that are beyond the newest `entries`, ended before `before`, and are not pinned.
pub(super) fn beyond(db: &Connection, entries: i64, before: i64) -> Result<Vec<String>> {
    db.prepare_cached(
        "SELECT name FROM (
            SELECT name, completed FROM history WHERE completed IS NOT NULL AND NOT pinned
            ORDER BY completed DESC LIMIT -1 OFFSET ?1
        ) WHERE completed < ?2",
    )?
    .query_map([entries, before], |row| row.get(0))?
    .collect()
}

/// Removes a row. `None` if there was none, else the files of the history that nobody names any more.
pub(super) fn delete(db: &Connection, name: &str) -> Result<Option<Vec<String>>> {
    if db.prepare_cached("DELETE FROM history WHERE name = ?1")?.execute([name])? == 0 {
        return Ok(None);
    }
    let orphans = db
        .prepare_cached(
            "SELECT digest FROM history_content AS mine WHERE name = ?1 AND kept AND NOT EXISTS (
                SELECT 1 FROM history_content AS other
                WHERE other.digest = mine.digest AND other.kept AND other.name <> ?1
            )",
        )?
        .query_map([name], |row| row.get(0))?
        .collect::<Result<_>>()?;
    db.prepare_cached("DELETE FROM history_content WHERE name = ?1")?.execute([name])?;
    Ok(Some(orphans))
}

/// Names of rows whose files may be torn.
pub(super) fn newer_than(db: &Connection, epoch: i64) -> Result<Vec<String>> {
    db.prepare_cached("SELECT name FROM history WHERE epoch > ?1")?
        .query_map([epoch], |row| row.get(0))?
        .collect()
}

/// Whether some record names this content, and then whether it is a file of the history.
pub(super) fn content(db: &Connection, digest: &str) -> Result<Option<bool>> {
    db.prepare_cached("SELECT max(kept) FROM history_content WHERE digest = ?1")?
        .query_row([digest], |row| row.get(0))
}

/// All content that records name.
pub(super) fn all_content(db: &Connection) -> Result<Vec<Named>> {
    db.prepare_cached("SELECT digest, max(kept) FROM history_content GROUP BY digest ORDER BY digest")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn row(row: &rusqlite::Row<'_>) -> Result<Row> {
    Ok(Row { name: row.get(0)?, ended: row.get(1)?, record: row.get(2)? })
}

pub(super) fn nanoseconds(at: prost_types::Timestamp) -> i64 {
    at.seconds.saturating_mul(1_000_000_000).saturating_add(at.nanos.into())
}
