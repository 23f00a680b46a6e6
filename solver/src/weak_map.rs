//! A map that does not keep its values alive, and in which dead ones do not pile up.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// Swept whenever it has doubled since the last sweep, so that a look-up costs the same on average
/// as in a plain map and memory stays within twice of what lives.
pub(crate) struct WeakMap<K, T> {
    entries: HashMap<K, Weak<T>>,
    sweep_at: usize,
}

const SMALLEST_SWEEP: usize = 64;

impl<K: Eq + Hash, T> WeakMap<K, T> {
    pub(crate) fn get(&self, key: &K) -> Option<Arc<T>> {
        self.entries.get(key).and_then(Weak::upgrade)
    }

    pub(crate) fn insert(&mut self, key: K, value: &Arc<T>) {
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, value| value.strong_count() > 0);
            self.sweep_at = (self.entries.len() * 2).max(SMALLEST_SWEEP);
        }
        self.entries.insert(key, Arc::downgrade(value));
    }

    pub(crate) fn alive(&self) -> usize {
        self.entries.values().filter(|value| value.strong_count() > 0).count()
    }
}

impl<K, T> Default for WeakMap<K, T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), sweep_at: SMALLEST_SWEEP }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_do_not_pile_up() {
        let mut map = WeakMap::default();
        let alive: Vec<_> = (0..10).map(Arc::new).collect();
        for (key, value) in alive.iter().enumerate() {
            map.insert(key, value);
        }
        for key in 10..10_000 {
            map.insert(key, &Arc::new(0));
        }
        assert!(map.entries.len() <= SMALLEST_SWEEP);
        assert_eq!(map.alive(), 10);
        assert_eq!(map.get(&3).as_deref(), Some(&3));
        assert!(map.get(&11).is_none());
    }
}
