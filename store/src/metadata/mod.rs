//! One embedded database for everything small: snapshots, names, layer facts, usage, and the solver's
//! records.
//!
//! # One connection, one open transaction
//!
//! There is a single SQLite connection (WAL) behind a lock. A write goes into a transaction that stays
//! open until the committer thread closes it (about [`COMMIT_DELAY`] later), until [`COMMIT_WRITES`]
//! writes are in it, or until somebody calls [`Metadata::flush`]. Reads use the same connection and
//! so see what was written before, committed or not. Each [`Metadata::with`] is a savepoint: it
//! happens whole or not at all, also when its closure panics.
//!
//! # What survives what
//!
//! | event | flushed writes | other writes | files of snapshots and blobs |
//! |---|---|---|---|
//! | panic, kill -9 | kept: a commit is in the page cache | the last ~20 ms may be gone | kept, as they are in the page cache |
//! | power loss, kernel crash | kept up to the last durable epoch | – | whatever the kernel had written back |
//! | orderly stop | kept | kept | kept, synced |
//!
//! Commits do not fsync (`synchronous=NORMAL`: after a power loss the database is an earlier, whole
//! state of itself), and neither does anything that makes a snapshot. What makes this safe is the
//! **epoch**, a number that rows naming files carry:
//!
//! 1. The committer commits and begins epoch `e + 1`. Rows of epochs up to `e` were written after their
//!    files were complete.
//! 2. `syncfs`: those files and the rows are on the disk.
//! 3. `durable = e` is committed, and the log is fsynced.
//!
//! This happens when nothing was written for [`SYNC_IDLE`], at the latest [`SYNC_LATEST`] after the first
//! write, and when the store is closed. If the database was not closed and the kernel's boot id is another
//! than the one noted at the last open, the machine went down: rows with an epoch above `durable` may name
//! torn files and are dropped by those who own them ([`Recovery::drop_after`]). After a mere kill the
//! boot id is the same and nothing is dropped.
//!
//! Deleting goes the other way round: the row first, made durable ([`Metadata::flush_durable`]), then the
//! files; a file without a row is a leftover that the next open removes, while a row without its
//! files would be a lie.
//!
//! # Damage
//!
//! A database that SQLite calls corrupt is renamed (`metadata.db.damaged-<time>`) with a warning, and what can
//! be read of it goes into a new one ([`mod@salvage`]): the rows on damaged pages are lost, the service and the
//! rest of the cache are not. Damage that shows only later leaves a mark, so that the next open does the same.
//! Damage in the middle of the log, which SQLite takes for its end, is found by [`mod@log`]; the database is then
//! an earlier state of itself, and files and rows are made to agree as after a crash.

mod committer;
mod connection;
mod epoch;
pub(crate) mod inspect;
mod lock;
mod log;
mod open;
mod salvage;
mod schema;
#[cfg(test)]
mod tests;
mod value;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension};

use crate::error::{Error, Result};
pub use connection::Mark;
use connection::State;
pub use epoch::Recovery;
pub(crate) use lock::RootLock;
pub use value::raw_value;

/// How long a write waits for company before it is committed.
const COMMIT_DELAY: Duration = Duration::from_millis(20);
/// How many writes share a transaction at most.
const COMMIT_WRITES: u64 = 512;
/// A pause this long is used to make what is there durable.
const SYNC_IDLE: Duration = Duration::from_secs(2);
/// Without a pause, an epoch is made durable this long after its first write.
const SYNC_LATEST: Duration = Duration::from_secs(60);
/// The log is folded into the database when it has grown beyond this many bytes.
const LOG_LIMIT: u64 = 16 << 20;

/// How far committed work is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Epochs are made durable with `syncfs` in pauses and at the end.
    #[default]
    Synced,
    /// Never synced: survives a kill, but after a power loss the store starts empty. For throw-away roots.
    Volatile,
    /// Takes all steps of `Synced` but leaves the disk alone.
    #[cfg(test)]
    Pretended,
}

#[derive(Clone, Debug, Default)]
pub struct MetadataOptions {
    pub durability: Durability,
    /// What tells one boot of the machine from the next; read from the kernel if absent.
    pub boot_id: Option<String>,
}

/// The database. Cheap to clone; the last clone to go closes it in order.
#[derive(Clone)]
pub struct Metadata {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    committer: Option<JoinHandle<()>>,
}

/// What the committer thread shares with the callers.
struct Core {
    state: Mutex<State>,
    changed: Condvar,
    path: PathBuf,
    root: File,
    durability: Durability,
    recovery: Recovery,
    /// Held for as long as anybody can write here.
    _lock: lock::RootLock,
}

impl Metadata {
    /// Opens or creates `root/metadata.db`, taking the exclusive lock on `root` (created with mode 0700).
    ///
    /// Fails with [`Error::Locked`] if another process, or this one, has it open.
    pub fn open(root: &Path, options: MetadataOptions) -> Result<Self> {
        let core = Arc::new(open::open(root, options)?);
        let committer = committer::start(core.clone())?;
        Ok(Self { shared: Arc::new(Shared { core, committer: Some(committer) }) })
    }

    /// Runs `work`, which reads or writes; what it writes happens whole or not at all.
    ///
    /// `work` must not begin or end transactions and must not call back into this database.
    pub fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let core = &self.shared.core;
        let mut state = core.state.lock();
        let first = state.apply(work).map_err(|error| core.error(error));
        if state.take_news() {
            core.changed.notify_one();
        }
        first
    }

    /// Brings the tables of `room` up to date: `steps` are scripts of SQL, each run once in the life of a database.
    ///
    /// Steps are only ever added at the end. [`Error::Newer`] if the database has seen more steps than these.
    pub fn migrate(&self, room: &str, steps: &[&str]) -> Result<()> {
        let known = steps.len() as i64;
        let found = self.with(|db| {
            let found: Option<i64> = db
                .query_row("SELECT version FROM room WHERE name = ?1", [room], |row| row.get(0))
                .optional()?;
            let found = found.unwrap_or(0);
            for step in steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
                db.execute_batch(step)?;
            }
            if found < known {
                db.execute("INSERT OR REPLACE INTO room (name, version) VALUES (?1, ?2)", (room, known))?;
                schema::note_schema(db)?;
            }
            Ok(found)
        })?;
        if found > known {
            return Err(Error::Newer { what: format!("{room} in {}", self.path().display()), found, known });
        }
        self.flush()
    }

    /// Where the order of writes stands now.
    pub fn mark(&self) -> Mark {
        self.shared.core.state.lock().mark()
    }

    /// Whether writes made after `mark` were lost.
    pub fn has_lost_since(&self, mark: Mark) -> bool {
        self.shared.core.state.lock().lost_since(mark).is_some()
    }

    /// Whether any write was lost since this was opened.
    pub fn has_lost(&self) -> bool {
        self.has_lost_since(Mark::FIRST)
    }

    /// Returns when everything written before is committed: a kill -9 cannot undo it any more. Whether anything
    /// was lost *before* is answered by [`flush_since`](Self::flush_since) alone.
    pub fn flush(&self) -> Result<()> {
        self.shared.core.commit(None)
    }

    /// [`flush`](Self::flush) for those who rely on what they wrote after `mark`.
    ///
    /// [`Error::WritesLost`] if SQLite had to give up a transaction with writes after it (a full disk), whoever
    /// else was told already.
    pub fn flush_since(&self, mark: Mark) -> Result<()> {
        self.shared.core.commit(Some(mark))
    }

    /// [`flush_since`](Self::flush_since), and not even a power loss can undo it. Costs an fsync: for deletions,
    /// not for steps.
    pub fn flush_durable(&self, mark: Mark) -> Result<()> {
        self.flush_since(mark)?;
        self.shared.core.sync_log()
    }

    /// Ends the epoch now: files and rows made before survive a power loss. Slow: waits for the disk.
    pub fn make_durable(&self) -> Result<()> {
        self.shared.core.make_durable()
    }

    /// The number that rows naming files carry. Read it inside the `with` that writes the row, through
    /// [`Metadata::with_epoch`], so that no epoch ends in between.
    pub fn with_epoch<T>(&self, work: impl FnOnce(&Connection, i64) -> rusqlite::Result<T>) -> Result<T> {
        let core = &self.shared.core;
        let mut state = core.state.lock();
        let epoch = state.epoch;
        let result = state.apply(|db| work(db, epoch)).map_err(|error| core.error(error));
        if state.take_news() {
            core.changed.notify_one();
        }
        result
    }

    /// Gives back the memory that is kept for the next questions. For pauses: they cost a little more then.
    pub(crate) fn give_back(&self) -> Result<()> {
        let core = &self.shared.core;
        let state = core.state.lock();
        state.connection.execute_batch("PRAGMA shrink_memory").map_err(|error| core.error(error))
    }

    /// The last epoch whose rows and files survive a power loss.
    pub(crate) fn durable_epoch(&self) -> i64 {
        self.shared.core.state.lock().durable
    }

    /// Some files could not be removed when their rows were: the next prune or open has to look for them.
    pub fn expect_leftovers(&self) {
        self.shared.core.state.lock().leftovers = true;
    }

    /// Runs `removal`, after whose failure files may be left whose rows are gone.
    pub(crate) fn expecting_leftovers<T>(&self, removal: impl FnOnce() -> Result<T>) -> Result<T> {
        let removed = removal();
        if removed.is_err() {
            self.expect_leftovers();
        }
        removed
    }

    /// Whether leftovers are expected; from now on they are not.
    pub(crate) fn take_leftovers(&self) -> bool {
        std::mem::take(&mut self.shared.core.state.lock().leftovers)
    }

    /// What was found at opening.
    pub fn recovery(&self) -> Recovery {
        self.shared.core.recovery
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.shared.core.path
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.core.stop();
        if let Some(committer) = self.committer.take() {
            // The thread has nothing left to say; a panic in it was logged by the runtime.
            let _ = committer.join();
        }
        if let Err(error) = self.core.close() {
            tracing::warn!(path = %self.core.path.display(), %error, "metadata was not closed in order");
        }
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Metadata").field(&self.shared.core.path).finish()
    }
}
