//! Whether the rows of a cache that nobody uses can be right.

use rusqlite::{Connection, OptionalExtension, Result};
use slipway_store::check::Finding;

/// Records whose result is not there, and rows that cannot be read. `exists` knows the results by name.
pub fn check(db: &Connection, exists: impl Fn(&str) -> bool) -> Result<Vec<Finding>> {
    let table: Option<i64> = db
        .query_row("SELECT 1 FROM sqlite_master WHERE name = 'cache_record'", [], |row| row.get(0))
        .optional()?;
    if table.is_none() {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    let (records, damaged) = crate::tables::all_records(db)?;
    for record in records {
        if !exists(&record.result) {
            let message = format!("names the result {}, which does not exist", record.result);
            findings.push(Finding::new("record-result", record.id, message));
        }
    }
    findings.extend(damaged.iter().map(|id| Finding::new("record", id, "cannot be read")));
    let damaged = crate::tables::for_each_link(db, |_, _, _| ())?;
    findings
        .extend(damaged.iter().map(|_| Finding::new("record-link", "cache_link", "a link cannot be read")));
    Ok(findings)
}
