//! The tables, and all SQL.
//!
//! Keys are their 32 bytes; digests are text. A link's row begins with the key it leads to, because
//! that is how links are deleted; nobody asks the database where a key leads.

use rusqlite::types::Value;
use rusqlite::{Connection, Result, Row, params, params_from_iter};
use slipway_model::Digest;
use slipway_solver::{KeyId, Link, OpDigest, Selector};
use slipway_store::metadata::raw_value;

/// Steps of the layout; only ever added to.
pub(crate) const STEPS: &[&str] = &["
    CREATE TABLE cache_link (
        to_key    BLOB    NOT NULL,
        from_key  BLOB    NOT NULL,
        input     INTEGER NOT NULL,
        output    INTEGER NOT NULL,
        operation TEXT    NOT NULL,
        selector  TEXT    NOT NULL, -- empty: none
        PRIMARY KEY (to_key, from_key, input, output, operation, selector)
    ) WITHOUT ROWID;
    CREATE TABLE cache_record (
        id      INTEGER PRIMARY KEY,
        key     BLOB    NOT NULL,
        result  TEXT    NOT NULL,
        created INTEGER NOT NULL, -- nanoseconds since 1970
        used    INTEGER NOT NULL, -- the same
        epoch   INTEGER NOT NULL
    );
"];

/// One row of `cache_record`.
pub(crate) struct RecordRow {
    pub(crate) id: i64,
    pub(crate) key: KeyId,
    pub(crate) result: String,
    pub(crate) created: i64,
    pub(crate) used: i64,
}

pub(crate) fn insert_link(db: &Connection, from: &KeyId, link: &Link, to: &KeyId) -> Result<usize> {
    let selector = link.selector.map(|selector| selector.to_string()).unwrap_or_default();
    db.prepare_cached("INSERT OR IGNORE INTO cache_link VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        to.hash(),
        from.hash(),
        link.input as i64,
        link.output as i64,
        link.operation.to_string(),
        selector
    ])
}

pub(crate) fn insert_record(db: &Connection, row: &RecordRow, epoch: i64) -> Result<usize> {
    db.prepare_cached("INSERT OR REPLACE INTO cache_record VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![row.id, row.key.hash(), row.result, row.created, row.used, epoch])
}

pub(crate) fn delete_record(db: &Connection, id: i64) -> Result<usize> {
    db.prepare_cached("DELETE FROM cache_record WHERE id = ?1")?.execute([id])
}

pub(crate) fn delete_all(db: &Connection) -> Result<()> {
    db.execute_batch("DELETE FROM cache_link; DELETE FROM cache_record")
}

pub(crate) fn delete_records_after(db: &Connection, epoch: i64) -> Result<usize> {
    db.execute("DELETE FROM cache_record WHERE epoch > ?1", [epoch])
}

/// Deletes what leads to `keys`, which are no more.
pub(crate) fn delete_keys(db: &Connection, keys: &[KeyId]) -> Result<()> {
    let mut statement = db.prepare_cached("DELETE FROM cache_link WHERE to_key = ?1")?;
    keys.iter().try_for_each(|key| statement.execute([key.hash()]).map(drop))
}

pub(crate) fn set_used(db: &Connection, used: &[(i64, i64)]) -> Result<()> {
    let mut statement = db.prepare_cached("UPDATE cache_record SET used = ?2 WHERE id = ?1")?;
    used.iter().try_for_each(|row| statement.execute(params![row.0, row.1]).map(drop))
}

/// All records that can be read, and the rows of those that cannot: damage that the database does not see.
pub(crate) fn all_records(db: &Connection) -> Result<(Vec<RecordRow>, Vec<i64>)> {
    let mut statement = db.prepare("SELECT id, key, result, created, used FROM cache_record")?;
    let (mut read, mut damaged) = (Vec::new(), Vec::new());
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        match record(id, row) {
            Ok(record) => read.push(record),
            Err(_) => damaged.push(id),
        }
    }
    Ok((read, damaged))
}

fn record(id: i64, row: &Row<'_>) -> Result<RecordRow> {
    Ok(RecordRow {
        id,
        key: KeyId::from_hash(row.get(1)?),
        result: row.get(2)?,
        created: row.get(3)?,
        used: row.get(4)?,
    })
}

/// The columns of a link that cannot be read.
pub(crate) type DamagedLink = [Value; 6];

pub(crate) fn for_each_link(
    db: &Connection,
    mut each: impl FnMut(KeyId, Link, KeyId),
) -> Result<Vec<DamagedLink>> {
    let mut statement =
        db.prepare("SELECT to_key, from_key, input, output, operation, selector FROM cache_link")?;
    let mut damaged = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match link(row) {
            Ok((from, link, to)) => each(from, link, to),
            Err(_) => {
                let column = |at| raw_value(row, at);
                damaged.push([column(0)?, column(1)?, column(2)?, column(3)?, column(4)?, column(5)?]);
            }
        }
    }
    Ok(damaged)
}

fn link(row: &Row<'_>) -> Result<(KeyId, Link, KeyId)> {
    let selector = row.get_ref(5)?.as_str()?;
    let selector = if selector.is_empty() { None } else { Some(Selector(digest(row, 5)?)) };
    let link = Link {
        input: index(row, 2)?,
        output: index(row, 3)?,
        operation: OpDigest(digest(row, 4)?),
        selector,
    };
    Ok((KeyId::from_hash(row.get(1)?), link, KeyId::from_hash(row.get(0)?)))
}

pub(crate) fn delete_damaged_link(db: &Connection, link: &DamagedLink) -> Result<usize> {
    db.prepare_cached(
        "DELETE FROM cache_link WHERE to_key = ?1 AND from_key = ?2 AND input = ?3 AND output = ?4
         AND CAST(operation AS BLOB) = CAST(?5 AS BLOB) AND CAST(selector AS BLOB) = CAST(?6 AS BLOB)",
    )?
    .execute(params_from_iter(link))
}

fn digest(row: &Row<'_>, column: usize) -> Result<Digest> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn index(row: &Row<'_>, column: usize) -> Result<usize> {
    let number: i64 = row.get(column)?;
    usize::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
