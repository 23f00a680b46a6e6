//! How much history is kept.

use std::time::{Duration, SystemTime};

use super::error::Result;
use super::{History, table};

/// A record goes when it is beyond the newest `entries` and older than `age`, and not pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub age: Duration,
    pub entries: u32,
}

impl Default for Limits {
    /// As BuildKit's.
    fn default() -> Self {
        Self { age: Duration::from_secs(48 * 3600), entries: 50 }
    }
}

impl History {
    /// Removes what is beyond the limits.
    pub(crate) fn enforce_limits(&self) -> Result<()> {
        let Limits { age, entries } = self.inner.limits;
        let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let before = table::nanoseconds(before.into());
        let mut state = self.inner.state.lock();
        let beyond = self.inner.metadata.with(|db| table::beyond(db, entries.into(), before))?;
        beyond.iter().try_for_each(|name| self.inner.delete(&mut state, name))
    }
}
