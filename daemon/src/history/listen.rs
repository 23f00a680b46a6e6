//! Following what happens: first what is there, then each change, with nothing lost or told twice in between.

use std::collections::VecDeque;
use std::sync::Arc;

use slipway_proto::control::{
    BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest,
};
use tokio::sync::broadcast;

use super::error::{Error, Result};
use super::update::decode;
use super::{Active, Filter, History, Inner, State, table};

/// One who listens.
pub(crate) struct Listener {
    history: Arc<Inner>,
    past: VecDeque<BuildHistoryEvent>,
    live: Option<broadcast::Receiver<Arc<BuildHistoryEvent>>>,
    /// The one build it is about; empty: all.
    name: String,
    filter: Filter,
}

impl History {
    /// The events that `request` asks for: builds that run, then those that ended, then what happens, unless it ends
    /// early. With a limit the newest come first.
    pub(crate) fn listen(&self, request: &BuildHistoryRequest) -> Result<Listener> {
        let filter = Filter::parse(&request.filter)?;
        let limit = match request.limit {
            0 => None,
            limit => Some(usize::try_from(limit).map_err(|_| Error::Filter {
                filter: format!("limit {limit}"),
                reason: "the limit is negative".into(),
            })?),
        };
        let name = request.r#ref.clone();
        let mut state = self.inner.state.lock();
        if state.deleted.contains(&name) {
            return Err(Error::Deleted(name));
        }
        let wanted =
            |record: &BuildHistoryRecord| (name.is_empty() || record.r#ref == name) && filter.matches(record);
        let active = state.active.values().map(Active::record).filter(wanted);
        let mut past: VecDeque<_> =
            active.map(|record| event(BuildHistoryEventType::Started, record)).collect();
        if !request.active_only {
            let mut ended = self.inner.ended_builds(&state, &name)?;
            ended.retain(wanted);
            if let Some(limit) = limit {
                ended.reverse();
                ended.truncate(limit);
            }
            past.extend(ended.into_iter().map(|record| event(BuildHistoryEventType::Complete, record)));
        }
        let live = (!request.early_exit).then(|| self.inner.events.subscribe());
        if !name.is_empty() {
            *state.listened.entry(name.clone()).or_default() += 1;
        }
        Ok(Listener { history: self.inner.clone(), past, live, name, filter })
    }
}

impl Inner {
    /// Oldest first; all, or the one of this name.
    fn ended_builds(&self, state: &State, name: &str) -> Result<Vec<BuildHistoryRecord>> {
        let rows = match name {
            "" => self.metadata.with(table::all)?,
            name => self.metadata.with(|db| table::get(db, name))?.into_iter().collect(),
        };
        let ended = rows.iter().filter(|row| row.ended && !state.deleted.contains(&row.name));
        // One that cannot be read must not hide the others.
        let readable = ended.filter_map(|row| {
            let decoded = decode(row);
            decoded.inspect_err(|error| tracing::warn!(%error, "a record is left out")).ok()
        });
        Ok(readable.collect())
    }
}

impl Listener {
    /// `None` when there is nothing more to come.
    pub(crate) async fn next(&mut self) -> Option<Result<BuildHistoryEvent>> {
        if let Some(event) = self.past.pop_front() {
            return Some(Ok(event));
        }
        loop {
            match self.live.as_mut()?.recv().await {
                Ok(event) if self.wants(&event) => return Some(Ok((*event).clone())),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    self.live = None;
                    return Some(Err(Error::Missed(missed)));
                }
            }
        }
    }

    fn wants(&self, event: &BuildHistoryEvent) -> bool {
        let Some(record) = &event.record else { return false };
        let about = self.name.is_empty() || self.name == record.r#ref;
        about && (event.r#type() == BuildHistoryEventType::Deleted || self.filter.matches(record))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        let mut state = self.history.state.lock();
        let Some(listeners) = state.listened.get_mut(&self.name) else { return };
        *listeners -= 1;
        if *listeners > 0 {
            return;
        }
        state.listened.remove(&self.name);
        if state.deleted.contains(&self.name)
            && let Err(error) = self.history.delete(&mut state, &self.name)
        {
            tracing::warn!(build = self.name, %error, "a record cannot be deleted");
        }
    }
}

fn event(kind: BuildHistoryEventType, record: BuildHistoryRecord) -> BuildHistoryEvent {
    BuildHistoryEvent { r#type: kind.into(), record: Some(record) }
}
