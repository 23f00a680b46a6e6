//! The connection with its open transaction.
//!
//! SQLite may roll back the *whole* transaction on its own (a full disk, an I/O error). Then writes of
//! others, reported as done but not flushed, are gone too. Whoever relies on writes takes a [`Mark`] before them
//! and gives it to the flush after them, which says whether any write in between was lost: so each of several
//! builds hears of it, however many flushes of others came first, and one that began afterwards does not.

use std::time::Instant;

use rusqlite::{Connection, Result, TransactionState, ffi};

use super::epoch::Begun;
use crate::fault::Point;

pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) epoch: i64,
    pub(super) durable: i64,
    /// Writes in the open transaction, and since when there are any.
    pending: u64,
    pub(super) pending_since: Option<Instant>,
    /// The first write that no durable epoch covers yet, and the last write of all.
    pub(super) unsynced_since: Option<Instant>,
    pub(super) last_write: Instant,
    /// Writes there ever were.
    sequence: u64,
    lost: Option<Loss>,
    /// Files may lie around without a row, so this stop must not count as an orderly one.
    pub(super) leftovers: bool,
    news: bool,
    pub(super) stopping: bool,
}

impl State {
    pub(super) fn new(connection: Connection, begun: &Begun) -> Self {
        Self {
            connection,
            epoch: begun.epoch,
            durable: begun.durable,
            pending: 0,
            pending_since: None,
            unsynced_since: None,
            last_write: Instant::now(),
            sequence: 0,
            lost: None,
            leftovers: false,
            news: false,
            stopping: false,
        }
    }

    /// Runs `work` in a savepoint of the open transaction, which is begun if there is none.
    pub(super) fn apply<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        if self.connection.is_autocommit() {
            self.connection.prepare_cached("BEGIN")?.execute([])?;
        }
        let result = Savepoint::begin(&self.connection).and_then(|savepoint| {
            let value = work(savepoint.connection)?;
            savepoint.keep()?;
            Ok(value)
        });
        self.settle(result.as_ref().err())?;
        result
    }

    /// Notes what became of the transaction after some work in it.
    fn settle(&mut self, error: Option<&rusqlite::Error>) -> Result<()> {
        if self.connection.is_autocommit() {
            let reason = error.map(ToString::to_string).unwrap_or_else(|| "the transaction was ended".into());
            self.give_up(reason);
            return Ok(());
        }
        if self.connection.transaction_state(None::<&str>)? != TransactionState::Write {
            // Only read: hold no snapshot of the database open.
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            return Ok(());
        }
        if error.is_some() {
            if self.pending == 0 {
                self.connection.prepare_cached("ROLLBACK")?.execute([])?;
            }
            return Ok(());
        }
        self.note_write();
        if self.pending >= super::COMMIT_WRITES {
            self.commit()?;
        }
        Ok(())
    }

    fn note_write(&mut self) {
        let now = Instant::now();
        self.pending += 1;
        self.sequence += 1;
        self.last_write = now;
        self.unsynced_since.get_or_insert(now);
        if self.pending_since.is_none() {
            self.pending_since = Some(now);
            self.news = true;
        }
    }

    /// Ends the open transaction.
    pub(super) fn commit(&mut self) -> Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        let result = crate::fault::pass(Point::Commit)
            .map_err(refused)
            .and_then(|()| self.connection.prepare_cached("COMMIT"))
            .and_then(|mut commit| commit.execute([]));
        if let Err(error) = result {
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
            self.give_up(error.to_string());
            return Err(error);
        }
        self.pending = 0;
        self.pending_since = None;
        Ok(())
    }

    fn give_up(&mut self, reason: String) {
        if self.pending > 0 {
            tracing::warn!(writes = self.pending, reason, "uncommitted metadata was lost");
            self.lost = Some(Loss { last: self.sequence, reason });
            self.leftovers = true;
        }
        self.pending = 0;
        self.pending_since = None;
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.sequence)
    }

    /// Why writes made after `mark` were lost, if any were.
    pub(super) fn lost_since(&self, mark: Mark) -> Option<&str> {
        // What is lost is all that was pending, up to the last: a range that ends before the mark is others'.
        self.lost.as_ref().filter(|loss| loss.last > mark.0).map(|loss| loss.reason.as_str())
    }

    /// Whether the committer has something new to wait for.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }
}

/// A fault on purpose, as SQLite would tell of it.
fn refused(error: rustix::io::Errno) -> rusqlite::Error {
    let code = if error == rustix::io::Errno::NOSPC { ffi::SQLITE_FULL } else { ffi::SQLITE_IOERR };
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(error.to_string()))
}

/// A place in the order of all writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl Mark {
    /// Before any write.
    pub(super) const FIRST: Self = Self(0);
}

/// A transaction that was given up: the latest, as that tells for each mark whether there was one after it.
struct Loss {
    /// The last write in it.
    last: u64,
    reason: String,
}

/// Undone unless kept; also when a panic passes through.
struct Savepoint<'a> {
    connection: &'a Connection,
    kept: bool,
}

impl<'a> Savepoint<'a> {
    fn begin(connection: &'a Connection) -> Result<Self> {
        connection.prepare_cached("SAVEPOINT one_write")?.execute([])?;
        Ok(Self { connection, kept: false })
    }

    fn keep(mut self) -> Result<()> {
        self.connection.prepare_cached("RELEASE one_write")?.execute([])?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        if !self.kept && !self.connection.is_autocommit() {
            let undone = self.connection.execute_batch("ROLLBACK TO one_write; RELEASE one_write");
            if let Err(error) = undone {
                tracing::warn!(%error, "a failed metadata write could not be undone");
            }
        }
    }
}
