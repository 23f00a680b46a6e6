//! Snapshots: their rows, what hangs on them, and their directories.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::Connection;

use super::{Finding, Inspection};
use crate::error::{Result, if_exists};
use crate::snapshot::{SnapshotId, disk_usage, list_snapshots};
use crate::store::HANGING;

struct Row {
    parent: Option<String>,
    mutable: bool,
    size: Option<u64>,
}

/// The snapshotters whose directories are below the root.
pub(super) const OWN: [&str; 2] = ["overlay", "native"];

/// What the rows say of each other.
pub(super) fn check_rows(db: &Connection, findings: &mut Vec<Finding>) {
    match rows(db) {
        Ok(rows) => parents(&rows, findings),
        Err(error) => return findings.push(Inspection::query_failed(error)),
    }
    for (table, column) in HANGING {
        match hanging(db, table, column) {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(Inspection::query_failed(error)),
        }
    }
}

/// Rows and their directories.
pub(super) fn check(root: &Path, db: &Connection, findings: &mut Vec<Finding>) -> Result<()> {
    // That they cannot be read is told already.
    let Ok(rows) = rows(db) else { return Ok(()) };
    let mut there = HashSet::new();
    for kind in OWN {
        let folder = root.join("snapshots").join(kind);
        for id in if_exists(list_snapshots(&folder))?.unwrap_or_default() {
            directory(&folder, id, rows.get(id.as_str()), findings)?;
            there.insert(id);
        }
    }
    for id in rows.keys() {
        if !id.parse::<SnapshotId>().is_ok_and(|id| there.contains(&id)) {
            findings.push(Finding::new("snapshot-missing", id, "its directory does not exist"));
        }
    }
    Ok(())
}

fn rows(db: &Connection) -> rusqlite::Result<HashMap<String, Row>> {
    db.prepare("SELECT id, parent, mutable, size FROM snapshot")?
        .query_map([], |row| {
            Ok((row.get(0)?, Row { parent: row.get(1)?, mutable: row.get(2)?, size: row.get(3)? }))
        })?
        .collect()
}

fn parents(rows: &HashMap<String, Row>, findings: &mut Vec<Finding>) {
    for (id, row) in rows {
        let Some(parent) = &row.parent else { continue };
        match rows.get(parent) {
            None => findings.push(Finding::new(
                "snapshot-parent",
                id,
                format!("stands on {parent}, which does not exist"),
            )),
            Some(below) if below.mutable => findings.push(Finding::new(
                "snapshot-parent",
                id,
                format!("stands on {parent}, which can still change"),
            )),
            Some(_) => {}
        }
        let ends = std::iter::successors(Some(row), |row| rows.get(row.parent.as_ref()?)).nth(rows.len());
        if ends.is_some() {
            findings.push(Finding::new("snapshot-parent", id, "stands on itself"));
        }
    }
}

fn hanging(db: &Connection, table: &str, column: &str) -> rusqlite::Result<Vec<Finding>> {
    let sql =
        format!("SELECT DISTINCT {column} FROM {table} WHERE {column} NOT IN (SELECT id FROM snapshot)");
    db.prepare(&sql)?
        .query_map([], |row| row.get::<_, String>(0))?
        .map(|id| {
            Ok(Finding::new("row-without-snapshot", id?, format!("named by table {table}, does not exist")))
        })
        .collect()
}

fn directory(folder: &Path, id: SnapshotId, row: Option<&Row>, findings: &mut Vec<Finding>) -> Result<()> {
    let path = folder.join(id.as_str());
    let Some(row) = row else {
        findings.push(Finding::new("snapshot-leftover", id, "a directory that no row names"));
        return Ok(());
    };
    if !path.join("fs").is_dir() {
        findings.push(Finding::new("snapshot-missing", id, "its directory has no tree"));
        return Ok(());
    }
    let actual = disk_usage(&path)?.bytes;
    if let Some(noted) = row.size
        && noted != actual
    {
        let message = format!("takes {actual} bytes, noted are {noted}");
        findings.push(Finding::new("snapshot-size", id, message));
    }
    Ok(())
}
