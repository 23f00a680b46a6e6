//! The rows of blobs.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use slipway_model::BlobDigest;

use super::Unnamed;
use crate::metadata::raw_value;

pub(super) fn size(db: &Connection, digest: &BlobDigest) -> Result<Option<u64>> {
    db.prepare_cached("SELECT size FROM blob WHERE digest = ?1")?
        .query_row([digest.to_string()], |row| row.get(0))
        .optional()
}

/// Also for a blob whose file was replaced, so that it is of this epoch now.
pub(super) fn insert(db: &Connection, digest: &BlobDigest, size: u64, now: i64, epoch: i64) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO blob (digest, size, created, last_used, epoch) VALUES (?1, ?2, ?3, ?3, ?4)
         ON CONFLICT (digest) DO UPDATE SET size = ?2, last_used = ?3, epoch = ?4",
    )?
    .execute(params![digest.to_string(), size, now, epoch])?;
    Ok(())
}

pub(super) fn used(db: &Connection, digest: &BlobDigest, now: i64) -> Result<()> {
    db.prepare_cached("UPDATE blob SET last_used = ?2 WHERE digest = ?1")?
        .execute(params![digest.to_string(), now])?;
    Ok(())
}

/// Whether there was one.
pub(super) fn delete(db: &Connection, digest: &BlobDigest) -> Result<bool> {
    Ok(db.prepare_cached("DELETE FROM blob WHERE digest = ?1")?.execute([digest.to_string()])? > 0)
}

pub(super) fn newer_than(db: &Connection, epoch: i64) -> Result<Vec<String>> {
    db.prepare_cached("SELECT digest FROM blob WHERE epoch > ?1")?
        .query_map([epoch], |row| row.get(0))?
        .collect()
}

/// All that can be read; rows that do not hold what was put in are removed.
pub(super) fn all(db: &Connection) -> Result<Vec<(String, u64)>> {
    let (mut blobs, mut damaged) = (Vec::new(), Vec::<Value>::new());
    let mut statement = db.prepare("SELECT digest, size, created, last_used, epoch FROM blob")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match blob(row) {
            Ok(blob) => blobs.push(blob),
            Err(_) => damaged.push(raw_value(row, 0)?),
        }
    }
    for digest in damaged {
        tracing::warn!(?digest, "a damaged row of a blob is removed");
        db.execute("DELETE FROM blob WHERE CAST(digest AS BLOB) = CAST(?1 AS BLOB)", [digest])?;
    }
    Ok(blobs)
}

fn blob(row: &Row<'_>) -> Result<(String, u64)> {
    for number in 2..5 {
        row.get::<_, i64>(number)?;
    }
    Ok((row.get(0)?, row.get(1)?))
}

/// Blobs that belong to no snapshot.
pub(super) fn unnamed(db: &Connection) -> Result<Vec<Unnamed>> {
    db.prepare_cached(
        "SELECT digest, size, created, last_used FROM blob
         WHERE NOT EXISTS (SELECT 1 FROM layer WHERE layer.digest = blob.digest)
         AND NOT EXISTS (SELECT 1 FROM attached WHERE attached.digest = blob.digest)",
    )?
    .query_map([], |row| {
        let digest: String = row.get(0)?;
        let digest = digest.parse().map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
        })?;
        Ok(Unnamed { digest, size: row.get(1)?, created: row.get(2)?, last_used: row.get(3)?, held: false })
    })?
    .collect()
}

pub(super) fn is_unnamed(db: &Connection, digest: &BlobDigest) -> Result<bool> {
    db.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM layer WHERE digest = ?1)
            AND NOT EXISTS (SELECT 1 FROM attached WHERE digest = ?1)",
    )?
    .query_row([digest.to_string()], |row| row.get(0))
}
