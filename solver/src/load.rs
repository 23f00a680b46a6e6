//! One record on its way into memory, or there.

use std::sync::Arc;

use crate::error::Error;
use crate::executor::Executor;
use crate::interest::Interest;
use crate::keys::{KeyId, RecordId};
use crate::memo::Memo;

/// A solved edge.
#[derive(Clone)]
pub(crate) struct Outcome<V> {
    pub(crate) value: V,
    /// Keys to save consumers under, the most telling first.
    pub(crate) keys: Vec<KeyId>,
    /// Made by a forced run, or of what one made: consumers may not be looked up through its keys.
    pub(crate) fresh: Option<FreshRun>,
    /// Where it came from, if it was loaded.
    pub(crate) loaded: Option<Loaded>,
}

/// The record a result was loaded from.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) record: RecordId,
    pub(crate) imported: bool,
}

/// One execution that does what was done before. What it made goes by the same keys, but is not the
/// same; so whoever knows it by nothing but its keys shares no execution with those who know another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FreshRun(pub(crate) u64);

/// Shared by all vertices that want the record. A load that failed stays failed for as long as one
/// of them lives.
pub(crate) struct Load<V> {
    pub(crate) interest: Arc<Interest>,
    pub(crate) outcome: Memo<Outcome<V>>,
}

impl<V: crate::Value> Load<V> {
    pub(crate) fn new(executor: &Arc<dyn Executor>) -> Self {
        Self { interest: Interest::new(executor), outcome: Memo::default() }
    }

    /// A record that does not load.
    pub(crate) fn broken(executor: &Arc<dyn Executor>, error: Error) -> Self {
        Self { interest: Interest::new(executor), outcome: Memo::failed(error) }
    }

    /// A record whose value is in memory already.
    pub(crate) fn ready(executor: &Arc<dyn Executor>, outcome: Outcome<V>) -> Self {
        Self { interest: Interest::new(executor), outcome: Memo::ready(outcome) }
    }
}

impl<V> Outcome<V> {
    /// The keys that consumers may be looked up through.
    pub(crate) fn lookup_keys(&self) -> &[KeyId] {
        if self.fresh.is_some() { &[] } else { &self.keys }
    }

    /// The same result, known under further keys.
    pub(crate) fn also_known_as(mut self, keys: &[KeyId]) -> Self {
        for key in keys {
            if !self.keys.contains(key) {
                self.keys.push(*key);
            }
        }
        self
    }
}
