//! Keeping a result, under all the names it will be asked for by.

use super::Attempt;
use super::execute::primary;
use crate::Value;
use crate::error::Result;
use crate::keys::{KeyId, Seen};
use crate::load::{FreshRun, Loaded, Outcome};
use crate::phases::Phase;

impl<V: Value> Attempt<V> {
    pub(super) async fn save(
        &self,
        output: usize,
        value: V,
        fresh: Option<FreshRun>,
        names: &[Vec<Seen>],
    ) -> Result<Outcome<V>> {
        let keys = self.keys_to_save_under(output, names).await?;
        let outcome = Outcome { value, keys, fresh, loaded: None };
        let _saving = self.node.enters(Phase::Save);
        for key in outcome.keys.iter().filter(|key| !key.is_session_bound()) {
            self.keep(&outcome, *key).await;
        }
        Ok(outcome)
    }

    /// In memory before in the store: whoever finds the record must not load it.
    pub(super) async fn keep(&self, outcome: &Outcome<V>, key: KeyId) {
        let record = self.sources.store().name(&key);
        // Who finds it as a record need not know that it came of a forced run.
        let loaded = outcome.loaded.as_ref().map(|_| Loaded { record: record.id.clone(), imported: false });
        let found = Outcome { fresh: None, loaded, ..outcome.clone() };
        self.node.hold_load(self.node.board.serve_from_memory(&record.id, &found));
        self.sources.store().save(&record, &outcome.value).await;
    }

    async fn keys_to_save_under(&self, output: usize, names: &[Vec<Seen>]) -> Result<Vec<KeyId>> {
        if names.is_empty() {
            return self.root_names(output).await;
        }
        let map = self.cache_map(0).await?;
        let key = KeyId::derived(map.digest, Some(output), &primary(names));
        for (input, names) in names.iter().enumerate() {
            let link = map.link(input, output);
            names.iter().for_each(|name| self.sources.link(&name.key, &link(name), &key));
        }
        Ok(vec![key])
    }

    /// All names a root has for itself; those that later sessions can use first.
    async fn root_names(&self, output: usize) -> Result<Vec<KeyId>> {
        let mut keys = Vec::new();
        for index in 0.. {
            let map = self.cache_map(index).await?;
            keys.push(map.root_key(output));
            if !map.more {
                break;
            }
        }
        keys.sort_by_key(KeyId::is_session_bound);
        Ok(keys)
    }
}
