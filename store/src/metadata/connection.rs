//! The connection with its open transaction.
//!
//! SQLite may roll back the *whole* transaction on its own (a full disk, an I/O error). Then writes of
//! others, reported as done but not flushed, are gone too; this is remembered, and the next flush says so.

use std::time::Instant;

use rusqlite::{Connection, Result, TransactionState};

pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) epoch: i64,
    /// Writes in the open transaction, and since when there are any.
    pending: u64,
    pub(super) pending_since: Option<Instant>,
    /// The first write that no durable epoch covers yet, and the last write of all.
    pub(super) unsynced_since: Option<Instant>,
    pub(super) last_write: Instant,
    lost: Option<String>,
    /// Files may lie around without a row, so this stop must not count as an orderly one.
    pub(super) leftovers: bool,
    news: bool,
    pub(super) stopping: bool,
}

impl State {
    pub(super) fn new(connection: Connection, epoch: i64) -> Self {
        Self {
            connection,
            epoch,
            pending: 0,
            pending_since: None,
            unsynced_since: None,
            last_write: Instant::now(),
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
        let result = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
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
            self.lost = Some(reason);
            self.leftovers = true;
        }
        self.pending = 0;
        self.pending_since = None;
    }

    /// Why writes were lost since this was last asked.
    pub(super) fn take_lost(&mut self) -> Option<String> {
        self.lost.take()
    }

    /// Whether the committer has something new to wait for.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }
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
