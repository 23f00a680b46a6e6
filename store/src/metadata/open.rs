//! Opening: the lock, the database, setting a damaged one aside, and what the last user left.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::connection::State;
use super::{Core, MetadataOptions, Recovery, epoch, lock};
use crate::error::{At as _, Error, Result};

const NAME: &str = "metadata.db";
/// Its existence says that damage was seen while the database was in use.
const MARK: &str = "metadata.damaged";
const STATEMENTS: usize = 256;

pub(super) fn open(root: &Path, options: MetadataOptions) -> Result<Core> {
    let lock = lock::take(root)?;
    let root = root.canonicalize().at("resolve", root)?;
    let directory = File::open(&root).at("open", &root)?;
    let path = root.join(NAME);
    let existed = path.exists();
    let boot_id = options.boot_id.unwrap_or_else(boot_id);
    if root.join(MARK).exists() {
        set_aside(&root, &path, "damage was seen while it was in use")?;
    }
    let (connection, recovery, epoch) = match connect(&path, &boot_id) {
        Err(Error::Corrupt { source, .. }) => {
            set_aside(&root, &path, &source.to_string())?;
            connect(&path, &boot_id)?
        }
        opened => opened?,
    };
    let core = Core {
        state: Mutex::new(State::new(connection, epoch)),
        changed: Condvar::new(),
        path,
        root: directory,
        durability: options.durability,
        recovery,
        _lock: lock,
    };
    if existed {
        // That somebody is at work must reach the disk before any of their work: an earlier orderly stop would
        // be believed. A new database has nothing that could be mistaken.
        core.sync_log()?;
    }
    Ok(core)
}

fn connect(path: &Path, boot_id: &str) -> Result<(Connection, Recovery, i64)> {
    let fresh = !path.exists();
    let opened = || -> rusqlite::Result<_> {
        let db = Connection::open(path)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS);
        // No other process may come in, so locks need not be asked for each time, nor shared memory used.
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        if fresh {
            // An empty database that a power loss tears is replaced by another empty one.
            db.pragma_update(None, "synchronous", "OFF")?;
        }
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        db.execute_batch(
            "BEGIN;
             CREATE TABLE IF NOT EXISTS room (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS note (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
        )?;
        let (recovery, epoch) = epoch::begin(&db, boot_id)?;
        db.execute_batch("COMMIT")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        if recovery.unclean {
            check(&db)?;
        }
        Ok((db, recovery, epoch))
    };
    opened().map_err(|error| Error::database(path, error))
}

/// Reads the whole database once; it says "ok" or what is wrong.
fn check(db: &Connection) -> rusqlite::Result<()> {
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(verdict)))
}

fn set_aside(root: &Path, path: &Path, reason: &str) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let aside = root.join(format!("{NAME}.damaged-{now}"));
    tracing::warn!(
        path = %path.display(), aside = %aside.display(), reason,
        "the metadata database is damaged and was set aside: the build cache starts empty"
    );
    for suffix in ["-wal", "-shm", ""] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => result.at("set aside", from)?,
        }
    }
    match std::fs::remove_file(root.join(MARK)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.at("remove", root.join(MARK)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Another one after each boot; empty, which equals no other, if the kernel does not tell.
fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

impl Core {
    pub(super) fn log_path(&self) -> PathBuf {
        with_suffix(&self.path, "-wal")
    }

    /// The error of this database; damage leaves a mark for the next open.
    pub(super) fn error(&self, error: rusqlite::Error) -> Error {
        let error = Error::database(&self.path, error);
        if matches!(error, Error::Corrupt { .. }) {
            tracing::warn!(path = %self.path.display(), "the metadata database is damaged; restart to begin with an empty one");
            // Best effort: if even this fails, the next open looks for itself.
            let _ = File::create(self.path.with_file_name(MARK));
        }
        error
    }

    pub(super) fn checkpoint(&self, state: &mut State) -> Result<()> {
        state
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| self.error(error))
    }
}
