//! Reading a database that nobody uses, as the next daemon would find it, without changing a byte of it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::epoch::{noted, stop};
use super::{log, open};
use crate::error::Result;

/// The database of a root.
pub(crate) fn path(root: &Path) -> PathBuf {
    root.join(open::NAME)
}

/// Whether damage was seen while it was in use.
pub(crate) fn is_marked(path: &Path) -> bool {
    path.with_file_name(open::MARK).exists()
}

/// What is damaged in its log.
pub(crate) fn log_damage(path: &Path) -> Result<Option<log::Damage>> {
    log::examine(&open::with_suffix(path, "-wal"))
}

/// A connection that writes nothing. Not opened for reading only, as then SQLite could not read the log without
/// a file for shared memory beside it.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "query_only", true)?;
    // So that a file that is no database is found out here.
    db.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(db)
}

pub(crate) fn was_left_unclean(db: &Connection) -> bool {
    !matches!(noted(db, "stop").ok().flatten().as_deref(), Some(stop::CLOSED | stop::SYNCED))
}
