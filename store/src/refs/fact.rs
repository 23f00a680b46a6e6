//! Bytes that others keep beside a snapshot, such as the digests of its files. They go with it.

use rusqlite::{OptionalExtension, params};

use super::Ref;
use crate::error::Result;

impl Ref {
    /// What was kept under `kind`.
    pub fn fact(&self, kind: &str) -> Result<Option<Vec<u8>>> {
        self.store().inner.metadata.with(|db| {
            db.prepare_cached("SELECT value FROM fact WHERE snapshot = ?1 AND kind = ?2")?
                .query_row(params![self.id(), kind], |row| row.get(0))
                .optional()
        })
    }

    /// Keeps `value` under `kind`, in place of what was there.
    pub fn set_fact(&self, kind: &str, value: &[u8]) -> Result<()> {
        self.store().inner.metadata.with(|db| {
            db.prepare_cached("INSERT OR REPLACE INTO fact (snapshot, kind, value) VALUES (?1, ?2, ?3)")?
                .execute(params![self.id(), kind, value])
                .map(|_| ())
        })
    }
}
