//! Looking at a root that nobody uses: do rows and files agree, and are they what they were?
//!
//! [`Inspection::open`] takes the root's lock, so that nothing changes meanwhile, and reads the database as the next
//! daemon would find it, without changing a byte: no recovery, no fold of the log. What is looked at:
//!
//! | module | asks |
//! |---|---|
//! | [`mod@database`] | is the database whole; was something lost from the middle of its log |
//! | [`snapshots`] | has every row a directory and every directory a row; do parents exist; are sizes those of `du`; does any row hang on a snapshot that is gone |
//! | [`blobs`] | has every row a file of its size and every file a row; with `deep`, is its content what its name says |
//!
//! Other rooms have rows in the same database and add their own questions ([`Inspection::ask`]).
//! What waits in the bin is no finding: it is thrown away already, and goes at the next start.

mod blobs;
mod database;
mod snapshots;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::metadata::{RootLock, inspect};

/// Something that is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// One of a few words, such as `blob-content`; stable, for programs.
    pub kind: &'static str,
    /// The id, digest, path or table it is about.
    pub subject: String,
    /// What is wrong, for people.
    pub message: String,
}

impl Finding {
    pub fn new(kind: &'static str, subject: impl ToString, message: impl Into<String>) -> Self {
        Self { kind, subject: subject.to_string(), message: message.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.kind, self.subject, self.message)
    }
}

/// A root that is held still while it is looked at.
pub struct Inspection {
    root: PathBuf,
    database: Option<Connection>,
    /// The last user was killed, or the machine went down: leftovers are to be expected until the next start.
    unclean: bool,
    damage: Vec<Finding>,
    _lock: RootLock,
}

impl Inspection {
    /// [`Error::Locked`] if a daemon uses `root`; an I/O error if there is none.
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::metadata(root.join("layout")).map_err(|error| Error::io("find a store in", root, error))?;
        let lock = RootLock::take(root)?;
        let (database, damage) = database::open(&inspect::path(root))?;
        let unclean = database.as_ref().is_none_or(inspect::was_left_unclean);
        Ok(Self { root: root.into(), database, unclean, damage, _lock: lock })
    }

    /// Whether there is a committed snapshot of this name.
    pub fn has_snapshot(&self, id: &str) -> bool {
        let sql = "SELECT 1 FROM snapshot WHERE id = ?1 AND NOT mutable";
        self.database.as_ref().is_some_and(|db| db.query_row(sql, [id], |_| Ok(())).is_ok())
    }

    /// Whether the last user was cut off: then the next start still has to tidy up.
    pub fn was_left_unclean(&self) -> bool {
        self.unclean
    }

    /// All that is wrong with what the store keeps. `deep`: also reads every blob whole.
    pub fn findings(&self, deep: bool) -> Result<Vec<Finding>> {
        let mut findings = self.damage.clone();
        if let Some(db) = &self.database {
            database::check(db, &mut findings);
            if !findings.is_empty() {
                // What a damaged database says of files tells nothing about them.
                return Ok(findings);
            }
            snapshots::check_rows(db, &mut findings);
            // What another program keeps has no files here ([`crate::Backend`]).
            let made_with = crate::store::snapshotter_of(db).ok().flatten();
            if made_with.is_none_or(|name| snapshots::OWN.contains(&name.as_str())) {
                snapshots::check(&self.root, db, &mut findings)?;
                blobs::check(&self.root, db, deep, &mut findings)?;
            }
        }
        Ok(findings)
    }

    fn query_failed(error: rusqlite::Error) -> Finding {
        Finding::new("database", "metadata.db", format!("cannot be read: {error}"))
    }

    /// The findings of another room's question about the rows.
    pub fn ask(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<Vec<Finding>>) -> Vec<Finding> {
        match &self.database {
            Some(db) => question(db).unwrap_or_else(|error| vec![Self::query_failed(error)]),
            None => Vec::new(),
        }
    }
}
