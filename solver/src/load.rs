//! One record on its way into memory, or there.

use std::sync::Arc;

use crate::interest::Interest;
use crate::keys::KeyId;
use crate::memo::Memo;

/// A solved edge.
#[derive(Clone)]
pub(crate) struct Outcome<V> {
    pub(crate) value: V,
    /// Keys to save consumers under, the most telling first.
    pub(crate) keys: Vec<KeyId>,
    /// A forced run: consumers may not be looked up through its keys.
    pub(crate) fresh: bool,
}

/// Shared by all vertices that want the record. A load that failed stays failed for as long as one
/// of them lives.
pub(crate) struct Load<V> {
    pub(crate) interest: Arc<Interest>,
    pub(crate) outcome: Memo<Outcome<V>>,
}

impl<V: crate::Value> Load<V> {
    /// A record whose value is in memory already.
    pub(crate) fn ready(outcome: Outcome<V>) -> Self {
        Self { interest: Arc::default(), outcome: Memo::ready(outcome) }
    }
}

impl<V> Default for Load<V> {
    fn default() -> Self {
        Self { interest: Arc::default(), outcome: Memo::default() }
    }
}

impl<V> Outcome<V> {
    /// The keys that consumers may be looked up through.
    pub(crate) fn lookup_keys(&self) -> &[KeyId] {
        if self.fresh { &[] } else { &self.keys }
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
