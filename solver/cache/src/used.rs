//! When records were last used. A build that finds all it needs writes nothing else, so these writes
//! wait for company: until there are [`BATCH`] of them, a record is saved, or somebody flushes.

use std::collections::HashMap;

const BATCH: usize = 256;

#[derive(Default)]
pub(crate) struct Used(HashMap<i64, i64>);

impl Used {
    /// Says whether it is time to write.
    pub(crate) fn note(&mut self, record: i64, at: i64) -> bool {
        self.0.insert(record, at);
        self.0.len() >= BATCH
    }

    pub(crate) fn take(&mut self) -> Vec<(i64, i64)> {
        self.0.drain().collect()
    }
}
