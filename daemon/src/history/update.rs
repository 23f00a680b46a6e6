//! Changing records of builds that have ended.

use prost::Message as _;
use slipway_proto::control::{BuildHistoryEventType, BuildHistoryRecord};
use slipway_store::metadata::Mark;

use super::error::{Error, Result};
use super::{History, Inner, State, table};

impl History {
    /// Keeps the record whatever the limits are, or no longer.
    pub(crate) fn pin(&self, name: &str, pinned: bool) -> Result<()> {
        let state = self.inner.state.lock();
        let mut record = self.inner.ended(&state, name)?;
        record.pinned = pinned;
        record.generation = record.generation.saturating_add(1);
        self.inner.metadata.with(|db| table::change(db, &record))?;
        self.inner.metadata.flush()?;
        self.inner.tell(BuildHistoryEventType::Complete, record);
        Ok(())
    }

    /// Removes the record and its content; once nobody listens to this build alone, if somebody does.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        let mut state = self.inner.state.lock();
        self.inner.ended(&state, name)?;
        self.inner.delete(&mut state, name)?;
        Ok(self.inner.metadata.flush()?)
    }
}

impl Inner {
    pub(super) fn ended(&self, state: &State, name: &str) -> Result<BuildHistoryRecord> {
        if state.active.contains_key(name) {
            return Err(Error::Running(name.to_owned()));
        }
        match self.metadata.with(|db| table::get(db, name))? {
            Some(row) if !state.deleted.contains(name) => decode(&row),
            _ => Err(Error::Unknown(name.to_owned())),
        }
    }

    pub(super) fn delete(&self, state: &mut State, name: &str) -> Result<()> {
        if state.listened.contains_key(name) {
            state.deleted.insert(name.to_owned());
            return Ok(());
        }
        state.deleted.remove(name);
        let mark = self.metadata.mark();
        let Some(orphans) = self.metadata.with(|db| table::delete(db, name))? else { return Ok(()) };
        self.remove_content(mark, &orphans)?;
        let record = BuildHistoryRecord { r#ref: name.to_owned(), ..BuildHistoryRecord::default() };
        self.tell(BuildHistoryEventType::Deleted, record);
        Ok(())
    }

    /// Removes files whose rows went after `mark`: durably, before they do.
    pub(super) fn remove_content(&self, mark: Mark, digests: &[String]) -> Result<()> {
        if !digests.is_empty() {
            self.metadata.flush_durable(mark)?;
        }
        let digests = digests.iter().filter_map(|digest| digest.parse().ok());
        digests.for_each(|digest| self.content.remove(&digest));
        Ok(())
    }
}

pub(super) fn decode(row: &table::Row) -> Result<BuildHistoryRecord> {
    let record = BuildHistoryRecord::decode(&row.record[..]);
    record.map_err(|error| Error::Damaged(row.name.clone(), error))
}
