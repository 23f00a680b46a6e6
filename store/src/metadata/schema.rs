//! Whether the tables are those that were made: a bit flipped in the text that defines them may still be SQL.

use rusqlite::{Connection, Result};
use slipway_model::Digest;

use super::epoch::{note, noted};

const NOTE: &str = "schema";

/// All definitions have changed, by our own doing.
pub(super) fn note_schema(db: &Connection) -> Result<()> {
    note(db, NOTE, &digest(db)?)
}

/// An error as of a corrupt database if they are not those that were noted.
pub(super) fn check_schema(db: &Connection) -> Result<()> {
    let is_whole = match noted(db, NOTE)? {
        None => true,
        Some(noted) => noted == digest(db)?,
    };
    if is_whole {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some("the definitions of the tables are damaged".into())))
}

fn digest(db: &Connection) -> Result<String> {
    let mut text = String::new();
    let mut statement =
        db.prepare("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            text.push_str(row.get_ref(column)?.as_str()?);
            text.push('\0');
        }
    }
    Ok(Digest::of(text).to_string())
}
