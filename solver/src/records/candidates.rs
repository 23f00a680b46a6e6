//! Candidate keys of one consumer, input by input.

use std::collections::BTreeSet;

use crate::keys::KeyId;

pub(crate) type Keys = BTreeSet<KeyId>;

/// A key is a match when every input leads to it.
#[derive(Clone, Debug)]
pub(crate) struct Candidates(Vec<Keys>);

impl Candidates {
    pub(crate) fn none(inputs: usize) -> Self {
        Self(vec![Keys::new(); inputs])
    }

    pub(crate) fn add(&mut self, input: usize, keys: Keys) {
        self.0[input].extend(keys);
    }

    pub(crate) fn is_empty(&self, input: usize) -> bool {
        self.0[input].is_empty()
    }

    /// Keys that every input leads to.
    pub(crate) fn matched(&self) -> Vec<KeyId> {
        let Some((first, rest)) = self.0.split_first() else { return Vec::new() };
        first.iter().filter(|key| rest.iter().all(|keys| keys.contains(key))).copied().collect()
    }
}
