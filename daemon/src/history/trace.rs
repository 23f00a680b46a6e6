//! The trace of a build that has ended: made beside everything else, so that no client waits for it.
//!
//! Who asks for the record to be [finalized](History::without_trace) does wait. A record without a trace, of a build
//! that was cut off for instance, gets one then, of what its log tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slipway_proto::control::StatusResponse;

use super::error::{Error, Result};
use super::recording::descriptor;
use super::replay::digest;
use super::update::decode;
use super::{History, Inner, frames, table};

const TRACE_TYPE: &str = "application/vnd.buildkit.otlp.json.v0";
/// A trace takes milliseconds: whoever waits longer goes on without.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record that lacks nothing but its trace. Dropped without one, it has none.
pub(crate) struct Untraced {
    history: Arc<Inner>,
    name: String,
}

impl History {
    /// Waits until the record `name` changes no more by itself. If it still has no trace, one may be made now.
    pub(crate) fn without_trace(&self, name: &str) -> Result<Option<Untraced>> {
        let mut state = self.inner.state.lock();
        let deadline = Instant::now() + PATIENCE;
        while state.untraced.contains(name) && !self.inner.traced.wait_until(&mut state, deadline).timed_out()
        {
        }
        let record = self.inner.ended(&state, name)?;
        if record.trace.is_some() || !state.untraced.insert(name.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Untraced { history: self.inner.clone(), name: name.to_owned() }))
    }
}

impl Untraced {
    /// Of a record that is written now; the state is locked.
    pub(super) fn of(history: &Arc<Inner>, state: &mut super::State, name: &str) -> Self {
        state.untraced.insert(name.to_owned());
        Self { history: history.clone(), name: name.to_owned() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// All that the build has told, in its order. Blocks.
    pub(crate) fn read_log(&self, mut see: impl FnMut(&StatusResponse)) -> Result<()> {
        let Some(row) = self.history.metadata.with(|db| table::get(db, &self.name))? else { return Ok(()) };
        let Some(log) = decode(&row)?.logs else { return Ok(()) };
        let path = || format!("the log {}", log.digest);
        let Some(file) = self.history.content.open_file(&digest(&log.digest)?)? else { return Ok(()) };
        let end = file.metadata().map_err(|error| Error::io("stat", path(), error))?.len();
        let mut position = 0;
        while let Some((news, taken)) =
            frames::read(&file, position, end).map_err(|error| Error::io("read", path(), error))?
        {
            see(&news);
            position += taken as u64;
        }
        Ok(())
    }

    /// Blocks.
    pub(crate) fn keep(self, trace: &[u8]) -> Result<()> {
        let history = &self.history;
        let digest = history.content.put(trace)?;
        let state = history.state.lock();
        let kept = history.ended(&state, &self.name).and_then(|mut record| {
            record.trace = Some(descriptor(TRACE_TYPE, digest.to_string(), trace.len() as u64));
            record.generation = record.generation.saturating_add(1);
            let named = (digest.to_string(), true);
            Ok(history.metadata.with_epoch(|db, epoch| table::add_content(db, &record, &named, epoch))?)
        });
        if kept.is_err() {
            history.content.remove(&digest); // no other trace has these ids
        }
        kept
    }
}

impl Drop for Untraced {
    fn drop(&mut self) {
        self.history.state.lock().untraced.remove(&self.name);
        self.history.traced.notify_all();
    }
}
