//! What can still be read of a damaged database, into a new one.
//!
//! Damage sits in pages, and a page holds rows of one table. A table is read from its beginning up to where it
//! cannot be read, and then from its end backwards: around one damaged place, all is saved. Indexes are built
//! anew. What the rows say of each other, and of files, is set right afterwards, as after a crash
//! (`store/src/store/recover.rs`): a row that hangs on a lost one goes, a file without a row goes.
//!
//! | what is damaged | costs |
//! |---|---|
//! | a page of rows | those rows, and what hangs on them |
//! | an inner page of a table | the rows below it |
//! | a page of an index | nothing |
//! | the list of tables, or of their versions | everything |
//! | the notes on epochs | what is not known to be on the disk: everything |
//!
//! SQLite keeps no checksums: a bit flipped inside a value that still reads as one is not found here. Digests,
//! ids and keys are all of that kind, and lead nowhere when they are wrong.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::epoch::{note, noted, stop};
use super::inspect;
use super::schema::check_schema;
use super::value::raw_value;

/// What came of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) table: String,
    pub(super) rows: u64,
    /// Rows may be missing.
    pub(super) torn: bool,
}

/// Tables without which the rest cannot be understood.
const NEEDED: &[&str] = &["room"];

/// Copies what is readable from the database at `from` into the empty one `to`, in one transaction.
pub(super) fn salvage(from: &Path, to: &mut Connection) -> rusqlite::Result<Vec<Saved>> {
    let source = inspect::open(from)?;
    check_schema(&source)?;
    let target = to.transaction()?;
    let tables = definitions(&source, "type = 'table'")?;
    let mut saved = Vec::new();
    for (table, sql) in &tables {
        target.execute_batch(sql)?;
        let one = copy(&source, &target, table)?;
        if one.torn && NEEDED.contains(&table.as_str()) {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
        saved.push(one);
    }
    // After the rows: nothing is to fire, and one index for all is quicker than one row after the other.
    for (_, sql) in definitions(&source, "type <> 'table'")? {
        target.execute_batch(&sql)?;
    }
    let is_torn = |table: &str| saved.iter().any(|saved| saved.table == table && saved.torn);
    if is_torn("note") || noted(&target, "stop")?.is_none() {
        // Nobody knows what is on the disk.
        note(&target, "boot_id", "")?;
        note(&target, "durable", "0")?;
        note(&target, "stop", stop::RUNNING)?;
    } else if noted(&target, "stop")?.as_deref() != Some(stop::RUNNING) {
        note(&target, "stop", stop::LEFTOVERS)?;
    }
    target.commit()?;
    Ok(saved)
}

fn definitions(source: &Connection, which: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT name, sql FROM sqlite_master WHERE {which} AND sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    );
    source.prepare(&sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn copy(source: &Connection, target: &Connection, table: &str) -> rusqlite::Result<Saved> {
    let shape = Shape::of(target, table)?;
    let mut saved = Saved { table: table.to_owned(), rows: 0, torn: false };
    if !shape.copy(source, target, "ASC", &mut saved.rows)? {
        saved.torn = true;
        shape.copy(source, target, "DESC", &mut saved.rows)?;
    }
    Ok(saved)
}

/// How a table is read and written; all names are those of our own tables.
struct Shape {
    table: String,
    columns: Vec<String>,
    key: Vec<String>,
}

impl Shape {
    fn of(db: &Connection, table: &str) -> rusqlite::Result<Self> {
        let mut columns = Vec::new();
        let mut key = Vec::new();
        let mut statement = db.prepare("SELECT name, pk FROM pragma_table_info(?1)")?;
        let mut rows = statement.query([table])?;
        while let Some(row) = rows.next()? {
            let (name, place): (String, i64) = (row.get(0)?, row.get(1)?);
            if place > 0 {
                key.push((place, name.clone()));
            }
            columns.push(name);
        }
        key.sort();
        let has_rowid = db.prepare(&format!("SELECT rowid FROM {table}")).is_ok();
        let key =
            if has_rowid { vec!["rowid".to_owned()] } else { key.into_iter().map(|key| key.1).collect() };
        Ok(Self { table: table.to_owned(), columns, key })
    }

    /// Copies rows in one direction; whether that came to the end.
    fn copy(
        &self,
        source: &Connection,
        target: &Connection,
        direction: &str,
        count: &mut u64,
    ) -> rusqlite::Result<bool> {
        let Self { table, columns, key } = self;
        let order: Vec<_> = key.iter().map(|column| format!("{column} {direction}")).collect();
        let select =
            format!("SELECT {} FROM {table} NOT INDEXED ORDER BY {}", columns.join(", "), order.join(", "));
        let marks = vec!["?"; columns.len()].join(", ");
        let mut insert = target
            .prepare(&format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", columns.join(", ")))?;
        let Ok(mut statement) = source.prepare(&select) else { return Ok(false) };
        let Ok(mut rows) = statement.query([]) else { return Ok(false) };
        loop {
            match rows.next() {
                Err(_) => return Ok(false),
                Ok(None) => return Ok(true),
                Ok(Some(row)) => {
                    let values: Result<Vec<Value>, _> =
                        (0..columns.len()).map(|at| raw_value(row, at)).collect();
                    // A row that no longer fits its own table is damaged, and lost.
                    let kept = values.and_then(|values| insert.execute(params_from_iter(values)));
                    *count += kept.map_or(0, |rows| rows as u64);
                }
            }
        }
    }
}
