//! The database itself.

use std::path::Path;

use rusqlite::Connection;

use super::Finding;
use crate::error::Result;
use crate::metadata::inspect;

/// As many of its complaints as are of use.
const COMPLAINTS: usize = 100;

/// The database, if it opens, and what the files of it tell.
pub(super) fn open(path: &Path) -> Result<(Option<Connection>, Vec<Finding>)> {
    let mut findings = Vec::new();
    if !path.exists() {
        findings.push(Finding::new("database", "metadata.db", "does not exist"));
        return Ok((None, findings));
    }
    if let Some(damage) = inspect::log_damage(path)? {
        findings.push(Finding::new("database-log", "metadata.db-wal", damage.to_string()));
    }
    if inspect::is_marked(path) {
        let message = "damage was seen while it was in use: what is readable is saved at the next start";
        findings.push(Finding::new("database", "metadata.db", message));
    }
    match inspect::open(path) {
        Ok(db) => Ok((Some(db), findings)),
        Err(error) => {
            findings.push(Finding::new("database", "metadata.db", format!("cannot be opened: {error}")));
            Ok((None, findings))
        }
    }
}

pub(super) fn check(db: &Connection, findings: &mut Vec<Finding>) {
    let complaints = || -> rusqlite::Result<Vec<String>> {
        db.prepare(&format!("PRAGMA integrity_check({COMPLAINTS})"))?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    match complaints() {
        Ok(lines) => findings.extend(
            lines
                .into_iter()
                .filter(|line| line != "ok")
                .map(|line| Finding::new("database", "metadata.db", line)),
        ),
        Err(error) => findings.push(super::Inspection::query_failed(error)),
    }
}
