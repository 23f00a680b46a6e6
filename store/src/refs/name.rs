//! Snapshots found by a name of the caller's choice: the last state of a local build context, of a git
//! checkout, and the like, to be reused by the next build.
//!
//! A named snapshot is as immutable as any other and can be pruned as any other; its name goes with it. The
//! next state of a context is prepared *on* the last one and holds only what changed; when
//! [`Ref::depth`] has grown large, its owner begins anew.

use rusqlite::{OptionalExtension, params};

use super::Ref;
use crate::error::Result;
use crate::snapshot::SnapshotId;
use crate::store::Store;

impl Store {
    /// The snapshot of this name.
    pub fn named(&self, key: &str) -> Result<Option<Ref>> {
        let found: Option<SnapshotId> = self.inner.metadata.with(|db| {
            db.prepare_cached("SELECT snapshot FROM name WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()
        })?;
        found.map_or(Ok(None), |id| self.get(&id))
    }

    /// Gives `snapshot` the name `key`, taking it from the one that had it.
    pub fn set_name(&self, key: &str, snapshot: &Ref) -> Result<()> {
        self.inner.metadata.with(|db| {
            db.prepare_cached("INSERT OR REPLACE INTO name (key, snapshot) VALUES (?1, ?2)")?
                .execute(params![key, snapshot.id()])
                .map(|_| ())
        })
    }

    /// Takes the name away.
    pub fn remove_name(&self, key: &str) -> Result<()> {
        self.inner
            .metadata
            .with(|db| db.prepare_cached("DELETE FROM name WHERE key = ?1")?.execute([key]).map(|_| ()))
    }
}
