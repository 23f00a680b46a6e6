//! Opening: the lock, the database, setting a damaged one aside, and what the last user left.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::connection::State;
use super::epoch::Begun;
use super::salvage::{self, Saved};
use super::schema::check_schema;
use super::{Core, MetadataOptions, epoch, lock, log};
use crate::error::{At as _, Error, Result, if_exists};
use crate::fault::{self, Point};

pub(super) const NAME: &str = "metadata.db";
/// Its existence says that damage was seen while the database was in use.
pub(super) const MARK: &str = "metadata.damaged";
/// What a replacement is called until the damaged one has gone; whole if that has.
const SALVAGED: &str = ".salvaged";
/// A database up to this many bytes is checked at each open, a larger one after a crash: it takes milliseconds for
/// each of these mebibytes.
const CHECKED_ALWAYS: u64 = 4 << 20;
const STATEMENTS: usize = 256;

pub(super) fn open(root: &Path, options: MetadataOptions) -> Result<Core> {
    fault::watch_database();
    let lock = lock::RootLock::take(root)?;
    let root = root.canonicalize().at("resolve", root)?;
    let directory = File::open(&root).at("open", &root)?;
    let path = root.join(NAME);
    if !path.exists() {
        // Cut off between the one going and the other coming.
        finish_replacing(&path, &aside(&root)?)?;
    }
    let existed = path.exists();
    let boot_id = options.boot_id.unwrap_or_else(boot_id);
    if root.join(MARK).exists() {
        replace(&root, &path, "damage was seen while it was in use")?;
    }
    let torn_log = log::examine(&with_suffix(&path, "-wal"))?;
    if let Some(damage) = torn_log {
        tracing::warn!(path = %path.display(), "the log of the metadata database {damage}");
    }
    let (connection, mut begun) = match connect(&path, &boot_id) {
        Err(Error::Corrupt { source, .. }) => {
            replace(&root, &path, &source.to_string())?;
            connect(&path, &boot_id)?
        }
        opened => opened?,
    };
    begun.recovery.unclean |= torn_log.is_some();
    let core = Core {
        state: Mutex::new(State::new(connection, &begun)),
        changed: Condvar::new(),
        path,
        root: directory,
        durability: options.durability,
        recovery: begun.recovery,
        _lock: lock,
    };
    if existed {
        // That somebody is at work must reach the disk before any of their work: an earlier orderly stop would
        // be believed. A new database has nothing that could be mistaken.
        core.sync_log()?;
    }
    Ok(core)
}

fn connect(path: &Path, boot_id: &str) -> Result<(Connection, Begun)> {
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
        check_schema(&db)?;
        let begun = epoch::begin(&db, boot_id)?;
        db.execute_batch("COMMIT")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        if begun.recovery.unclean || path.metadata().is_ok_and(|meta| meta.len() <= CHECKED_ALWAYS) {
            check(&db)?;
        }
        Ok((db, begun))
    };
    opened().map_err(|error| Error::database(path, error))
}

/// Reads the whole database once, with its indexes; it says "ok" or what is wrong.
fn check(db: &Connection) -> rusqlite::Result<()> {
    let verdict: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(verdict)))
}

/// Sets the database aside, and begins another with what can be read of it.
fn replace(root: &Path, path: &Path, reason: &str) -> Result<()> {
    let aside = aside(root)?;
    tracing::warn!(
        path = %path.display(), aside = %aside.display(), reason,
        "the metadata database is damaged and is set aside"
    );
    let fresh = with_suffix(path, SALVAGED);
    remove(&fresh)?;
    let saved = salvaged(path, &fresh);
    if saved.is_err() {
        remove(&fresh)?;
    }
    move_file(path, &aside)?;
    finish_replacing(path, &aside)?;
    match saved {
        Ok(saved) => {
            for Saved { table, rows, torn } in saved {
                if torn {
                    tracing::warn!(table, rows, "some rows of the metadata database were lost");
                } else {
                    tracing::debug!(table, rows, "all rows were saved");
                }
            }
        }
        Err(error) => {
            tracing::warn!(%error, "nothing of it can be read: the build cache starts empty");
        }
    }
    remove(&root.join(MARK))
}

/// Once the damaged database is out of the way, its log must not meet the new one.
fn finish_replacing(path: &Path, aside: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm"] {
        move_file(&with_suffix(path, suffix), &with_suffix(aside, suffix))?;
    }
    move_file(&with_suffix(path, SALVAGED), path)
}

fn move_file(from: &Path, to: &Path) -> Result<()> {
    fault::pass(Point::SetAside).at("move", from)?;
    if_exists(std::fs::rename(from, to).at("move", from)).map(|_| ())
}

/// Makes a database at `fresh`, in one file, with what can be read of the one at `path`.
fn salvaged(path: &Path, fresh: &Path) -> rusqlite::Result<Vec<Saved>> {
    let mut db = Connection::open(fresh)?;
    // Cut off in the middle, it is begun again: the damaged one is still in its place.
    db.pragma_update(None, "synchronous", "OFF")?;
    db.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    let saved = salvage::salvage(path, &mut db)?;
    db.close().map_err(|(_, error)| error)?;
    Ok(saved)
}

/// A name that no file has.
fn aside(root: &Path) -> Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let names = (0..).map(|number| match number {
        0 => format!("{NAME}.damaged-{now}"),
        number => format!("{NAME}.damaged-{now}.{number}"),
    });
    let free = names.map(|name| root.join(name)).find(|path| !path.exists());
    free.ok_or_else(|| Error::io("name a file in", root, std::io::ErrorKind::AlreadyExists))
}

fn remove(path: &Path) -> Result<()> {
    if_exists(std::fs::remove_file(path).at("remove", path)).map(|_| ())
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
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
            tracing::warn!(path = %self.path.display(), "the metadata database is damaged: restart to save what can be read of it");
            // Best effort: if even this fails, the next open looks for itself.
            let _ = File::create(self.path.with_file_name(MARK));
        }
        error
    }

    pub(super) fn checkpoint(&self, state: &mut State) -> Result<()> {
        fault::pass(Point::Checkpoint).at("fold the log of", &self.path)?;
        state
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| self.error(error))
    }
}
