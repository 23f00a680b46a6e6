//! Epochs: how far the files and rows are known to be on the disk. See the essay of the module above.

use std::fs::File;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Core, Durability};
use crate::error::{At as _, Result};
use crate::fault::{self, Point};

/// What an open found of the time before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The last user did not close the store: files without a row may lie around.
    pub unclean: bool,
    /// The machine went down: rows with a higher epoch than this may name torn files and have to go.
    pub drop_after: Option<i64>,
}

/// Where a new user stands.
pub(super) struct Begun {
    pub(super) recovery: Recovery,
    pub(super) epoch: i64,
    /// The last epoch that is known to be on the disk.
    pub(super) durable: i64,
}

/// How the last user left, as noted under `stop`.
pub(super) mod stop {
    /// Still running, or killed.
    pub(in crate::metadata) const RUNNING: &str = "running";
    /// Closed, but not synced: fine as long as the machine stays up.
    pub(in crate::metadata) const CLOSED: &str = "closed";
    /// Closed and synced.
    pub(in crate::metadata) const SYNCED: &str = "synced";
    /// Closed and synced, but files without a row lie around.
    pub(in crate::metadata) const LEFTOVERS: &str = "leftovers";
}

pub(super) fn note(db: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO note (key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])?;
    Ok(())
}

pub(in crate::metadata) fn noted(db: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT value FROM note WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
}

fn noted_number(db: &Connection, key: &str) -> rusqlite::Result<i64> {
    Ok(noted(db, key)?.and_then(|value| value.parse().ok()).unwrap_or(0))
}

/// Reads how the last user left, begins a new epoch, and notes that somebody is at work.
pub(super) fn begin(db: &Connection, boot_id: &str) -> rusqlite::Result<Begun> {
    let last_stop = noted(db, "stop")?;
    let last_boot = noted(db, "boot_id")?;
    let durable = noted_number(db, "durable")?;
    let epoch = noted_number(db, "epoch")? + 1;
    let known_boot = !boot_id.is_empty() && last_boot.as_deref() == Some(boot_id);
    let fresh = last_stop.is_none();
    let synced = matches!(last_stop.as_deref(), Some(stop::SYNCED | stop::LEFTOVERS));
    let machine_went_down = !fresh && !synced && !known_boot;
    let recovery = Recovery {
        // An empty database beside files: it was lost, or never committed to.
        unclean: fresh
            || machine_went_down
            || matches!(last_stop.as_deref(), Some(stop::RUNNING | stop::LEFTOVERS)),
        drop_after: machine_went_down.then_some(durable),
    };
    note(db, "epoch", &epoch.to_string())?;
    note(db, "boot_id", boot_id)?;
    note(db, "stop", stop::RUNNING)?;
    Ok(Begun { recovery, epoch, durable })
}

impl Core {
    /// Ends the current epoch and waits until everything of it is on the disk.
    pub(super) fn make_durable(&self) -> Result<()> {
        let (ended, unsynced) = self.end_epoch()?;
        let done = self.sync_files().and_then(|()| self.note_durable(ended, None));
        if done.is_err() {
            self.state.lock().unsynced_since = unsynced;
        }
        done
    }

    fn end_epoch(&self) -> Result<(i64, Option<std::time::Instant>)> {
        let mut state = self.state.lock();
        let ended = state.epoch;
        state
            .apply(|db| note(db, "epoch", &(ended + 1).to_string()))
            .and_then(|()| state.commit())
            .map_err(|error| self.error(error))?;
        state.epoch = ended + 1;
        Ok((ended, state.unsynced_since.take()))
    }

    fn note_durable(&self, epoch: i64, stop: Option<&str>) -> Result<()> {
        {
            let mut state = self.state.lock();
            let before = state.unsynced_since;
            state
                .apply(|db| {
                    note(db, "durable", &epoch.to_string())?;
                    stop.map_or(Ok(()), |stop| note(db, "stop", stop))
                })
                .and_then(|()| state.commit())
                .map_err(|error| self.error(error))?;
            state.durable = epoch;
            // This write is about durability, it does not call for more of it.
            state.unsynced_since = before;
        }
        self.sync_log()
    }

    /// Commits and syncs everything, and notes an orderly end.
    pub(super) fn close(&self) -> Result<()> {
        let leftovers = self.state.lock().leftovers;
        if self.durability == Durability::Volatile {
            let stop = if leftovers { stop::RUNNING } else { stop::CLOSED };
            let mut state = self.state.lock();
            return state
                .apply(|db| note(db, "stop", stop))
                .and_then(|()| state.commit())
                .map_err(|error| self.error(error));
        }
        let (ended, _) = self.end_epoch()?;
        self.sync_files()?;
        self.note_durable(ended, Some(if leftovers { stop::LEFTOVERS } else { stop::SYNCED }))?;
        self.checkpoint(&mut self.state.lock())
    }

    fn sync_files(&self) -> Result<()> {
        match self.durability {
            Durability::Synced => fault::pass(Point::SyncFiles)
                .and_then(|()| rustix::fs::syncfs(&self.root))
                .at("sync the filesystem of", &self.path),
            _ => Ok(()),
        }
    }

    /// Brings the committed log to the disk.
    pub(super) fn sync_log(&self) -> Result<()> {
        if self.durability != Durability::Synced {
            return Ok(());
        }
        let log = self.log_path();
        fault::pass(Point::SyncLog).at("sync", &log)?;
        match File::open(&log).and_then(|file| file.sync_data()) {
            // Folded into the database, which SQLite syncs itself.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.at("sync", log),
        }
    }
}
