//! The store and the imported caches, asked as one.
//!
//! Session-bound keys stop here: no source ever hears of them.

use std::collections::HashSet;
use std::sync::Arc;

use super::candidates::Keys;
use super::{Record, RecordSource, RecordStore};
use crate::Value;
use crate::keys::{KeyId, Link, Seen};

#[derive(Clone)]
pub(crate) struct Sources<V> {
    store: Arc<dyn RecordStore<V>>,
    imports: Vec<Arc<dyn RecordSource<V>>>,
}

/// A record, and where it was found.
pub(crate) struct Found<V> {
    pub(crate) record: Record,
    /// `None`: in the store.
    pub(crate) import: Option<Arc<dyn RecordSource<V>>>,
}

impl<V: Value> Sources<V> {
    pub(crate) fn new(store: Arc<dyn RecordStore<V>>, imports: Vec<Arc<dyn RecordSource<V>>>) -> Self {
        Self { store, imports }
    }

    pub(crate) fn store(&self) -> &dyn RecordStore<V> {
        &*self.store
    }

    pub(crate) fn knows(&self, root: &KeyId) -> bool {
        !root.is_session_bound()
            && (self.store.knows(root) || self.imports.iter().any(|source| source.knows(root)))
    }

    pub(crate) fn follow(&self, key: &KeyId, link: &Link) -> Keys {
        if key.is_session_bound() {
            return Keys::new();
        }
        let mut found: Keys = self.store.follow(key, link).into_iter().collect();
        found.extend(self.imports.iter().flat_map(|source| source.follow(key, link)));
        found
    }

    /// Where `link`, looked at from each of `seen`, leads.
    pub(crate) fn follow_all(&self, seen: &[Seen], link: impl Fn(&Seen) -> Link) -> Keys {
        seen.iter().flat_map(|seen| self.follow(&seen.key, &link(seen))).collect()
    }

    /// The same, and lets every one of `seen` lead to what any of them led to.
    pub(crate) fn follow_and_learn(&self, seen: &[Seen], link: impl Fn(&Seen) -> Link) -> Keys {
        let led: Vec<Keys> = seen.iter().map(|seen| self.follow(&seen.key, &link(seen))).collect();
        let found: Keys = led.iter().flatten().copied().collect();
        for (seen, led) in seen.iter().zip(&led) {
            found.difference(led).for_each(|to| self.link(&seen.key, &link(seen), to));
        }
        found
    }

    pub(crate) fn link(&self, key: &KeyId, link: &Link, to: &KeyId) {
        if !key.is_session_bound() && !to.is_session_bound() {
            self.store.link(key, link, to);
        }
    }

    pub(crate) fn records(&self, keys: &[KeyId]) -> Vec<Found<V>> {
        let mut found = Vec::new();
        for key in keys.iter().filter(|key| !key.is_session_bound()) {
            found.extend(self.store.records(key).into_iter().map(|record| Found { record, import: None }));
            for source in &self.imports {
                let import = Some(source.clone());
                found.extend(
                    source.records(key).into_iter().map(|record| Found { record, import: import.clone() }),
                );
            }
        }
        found
    }

    /// Copies all that leads to `key` from the imported caches into the store: the way to a result
    /// of one of them may begin in another.
    pub(crate) fn adopt_chain(&self, key: &KeyId) {
        let (mut todo, mut seen) = (vec![*key], HashSet::new());
        while let Some(to) = todo.pop() {
            if seen.insert(to) {
                for (from, link) in self.imports.iter().flat_map(|source| source.origins(&to)) {
                    self.link(&from, &link, &to);
                    todo.push(from);
                }
            }
        }
    }
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        Self { record: self.record.clone(), import: self.import.clone() }
    }
}
