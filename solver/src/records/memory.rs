//! A record store that lives as long as its process: for tests, and for builders that keep nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{KeyGraph, Record, RecordSource, RecordStore};
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
    graph: KeyGraph,
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

    pub fn all_records(&self) -> Vec<Record> {
        self.inner.lock().graph.all_records().cloned().collect()
    }

    pub fn all_links(&self) -> Vec<(KeyId, Link, KeyId)> {
        self.inner.lock().graph.all_links().collect()
    }
}

#[async_trait]
impl<V: Value> RecordSource<V> for MemoryRecords<V> {
    fn knows(&self, root: &KeyId) -> bool {
        self.inner.lock().graph.knows(root)
    }

    fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId> {
        self.inner.lock().graph.follow(key, link)
    }

    fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)> {
        self.inner.lock().graph.origins(key)
    }

    fn records(&self, key: &KeyId) -> Vec<Record> {
        self.inner.lock().graph.records(key)
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
        self.inner.lock().graph.link(key, link, to);
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
        inner.graph.add(record.clone());
        inner.values.insert(record.id.clone(), value.clone());
    }

    fn forget(&self, record: &RecordId) {
        let mut inner = self.inner.lock();
        inner.values.remove(record);
        inner.graph.remove(record);
    }
}

impl<V> Default for Inner<V> {
    fn default() -> Self {
        Self { graph: KeyGraph::default(), values: HashMap::new(), made: 0, loads: 0, refuse: None }
    }
}
