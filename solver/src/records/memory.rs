//! A record store that lives as long as its process: for tests, and for builders that keep nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Record, RecordSource, RecordStore};
use crate::Value;
use crate::context::OpContext;
use crate::error::Failure;
use crate::keys::{KeyId, Link, RecordId};

pub struct MemoryRecords<V> {
    /// Begins the ids of this store's records, so that they are unique over all sources.
    name: Arc<str>,
    inner: Mutex<Inner<V>>,
}

struct Inner<V> {
    links: HashMap<(KeyId, Link), BTreeSet<KeyId>>,
    origins: HashMap<KeyId, BTreeSet<(KeyId, Link)>>,
    records: HashMap<KeyId, Vec<Record>>,
    values: HashMap<RecordId, V>,
    made: u64,
    loads: u64,
    refuse: Option<Refuse>,
}

type Refuse = Arc<dyn Fn(&Record) -> bool + Send + Sync>;

/// The value of a record is gone.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the cached result {0} is gone")]
pub struct Gone(pub RecordId);

impl<V: Value> MemoryRecords<V> {
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), inner: Mutex::default() }
    }

    /// How often a value was asked for.
    pub fn loads(&self) -> u64 {
        self.inner.lock().loads
    }

    /// From now on those loads fail that `refuse` picks.
    pub fn refuse_loads(&self, refuse: impl Fn(&Record) -> bool + Send + Sync + 'static) {
        self.inner.lock().refuse = Some(Arc::new(refuse));
    }

    /// Everything that hangs on `key` is forgotten; its links stay, and it still leads on.
    pub fn forget_results_of(&self, key: &KeyId) {
        self.inner.lock().records.remove(key);
    }

    pub fn all_records(&self) -> Vec<Record> {
        self.inner.lock().records.values().flatten().cloned().collect()
    }

    pub fn all_links(&self) -> Vec<(KeyId, Link, KeyId)> {
        let inner = self.inner.lock();
        inner.links.iter().flat_map(|((key, link), to)| to.iter().map(move |to| (*key, *link, *to))).collect()
    }
}

#[async_trait]
impl<V: Value> RecordSource<V> for MemoryRecords<V> {
    fn knows(&self, root: &KeyId) -> bool {
        self.inner.lock().knows(root)
    }

    fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId> {
        self.inner.lock().links.get(&(*key, *link)).into_iter().flatten().copied().collect()
    }

    fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)> {
        self.inner.lock().origins.get(key).into_iter().flatten().copied().collect()
    }

    fn records(&self, key: &KeyId) -> Vec<Record> {
        self.inner.lock().records.get(key).cloned().unwrap_or_default()
    }

    async fn load(&self, record: &Record, _ctx: &OpContext<V>) -> Result<V, Failure> {
        let mut inner = self.inner.lock();
        inner.loads += 1;
        let refused = inner.refuse.as_ref().is_some_and(|refuse| refuse(record));
        let value = inner.values.get(&record.id).filter(|_| !refused).cloned();
        value.ok_or_else(|| Gone(record.id.clone()).into())
    }
}

#[async_trait]
impl<V: Value> RecordStore<V> for MemoryRecords<V> {
    fn link(&self, key: &KeyId, link: &Link, to: &KeyId) {
        let mut inner = self.inner.lock();
        inner.links.entry((*key, *link)).or_default().insert(*to);
        inner.origins.entry(*to).or_default().insert((*key, *link));
    }

    fn name(&self, key: &KeyId) -> Record {
        let mut inner = self.inner.lock();
        inner.made += 1;
        // Counted, so that the newest is always told from the one before.
        let created = SystemTime::UNIX_EPOCH + Duration::from_millis(inner.made);
        Record { id: RecordId(format!("{}:{}", self.name, inner.made).into()), key: *key, created }
    }

    async fn save(&self, record: &Record, value: &V) {
        let mut inner = self.inner.lock();
        inner.records.entry(record.key).or_default().push(record.clone());
        inner.values.insert(record.id.clone(), value.clone());
    }

    fn forget(&self, record: &RecordId) {
        let mut inner = self.inner.lock();
        inner.values.remove(record);
        let Some(key) =
            inner.records.iter().find(|(_, known)| known.iter().any(|r| r.id == *record)).map(|(k, _)| *k)
        else {
            return;
        };
        if let Some(known) = inner.records.get_mut(&key) {
            known.retain(|known| known.id != *record);
        }
        inner.prune(key);
    }
}

impl<V> Inner<V> {
    fn knows(&self, key: &KeyId) -> bool {
        self.has_records(key) || self.leads_on(key)
    }

    fn has_records(&self, key: &KeyId) -> bool {
        self.records.get(key).is_some_and(|records| !records.is_empty())
    }

    fn leads_on(&self, key: &KeyId) -> bool {
        self.links.keys().any(|(from, _)| from == key)
    }

    /// Drops the links that lead to `key` if nothing hangs on it, and so on backwards.
    fn prune(&mut self, key: KeyId) {
        let mut todo = vec![key];
        while let Some(key) = todo.pop() {
            if self.knows(&key) {
                continue;
            }
            for (from, link) in self.origins.remove(&key).into_iter().flatten() {
                if let Some(to) = self.links.get_mut(&(from, link)) {
                    to.remove(&key);
                    if to.is_empty() {
                        self.links.remove(&(from, link));
                    }
                }
                todo.push(from);
            }
        }
    }
}

impl<V> Default for Inner<V> {
    fn default() -> Self {
        Self {
            links: HashMap::new(),
            origins: HashMap::new(),
            records: HashMap::new(),
            values: HashMap::new(),
            made: 0,
            loads: 0,
            refuse: None,
        }
    }
}
