//! Who can say "I have that result": the local store, imported caches.
//!
//! A source is a graph of keys with results hanging on some of them. A key without a result is no
//! dead end: it still leads on to those of its consumers (imported caches often hold only the last
//! result of a chain). Keys mean the same in every source, so a lookup asks all of them and follows
//! whatever any of them found.
//!
//! Questions are answered from memory or a local index: only `load` and `save` may take their time.

mod candidates;
mod key_graph;
mod memory;
mod sources;

use std::time::SystemTime;

use async_trait::async_trait;

pub use key_graph::KeyGraph;
pub use memory::{Gone, MemoryRecords};

use crate::context::OpContext;
use crate::error::Failure;
use crate::keys::{KeyId, Link, RecordId};

pub(crate) use candidates::{Candidates, Keys};
pub(crate) use sources::{Found, Sources};

/// A result that a source has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub id: RecordId,
    /// What the result is known under.
    pub key: KeyId,
    /// When the result was made; the newest is tried first.
    pub created: SystemTime,
}

/// A graph of keys with results hanging on some of them. Asking never writes.
#[async_trait]
pub trait RecordSource<V>: Send + Sync {
    /// Whether anything hangs on the root or content key `root`.
    fn knows(&self, root: &KeyId) -> bool;

    /// Where `link` leads from `key`.
    fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId>;

    /// What leads to `key`, and how: the way back that an export, or the adoption of an imported
    /// result, walks.
    fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)>;

    fn records(&self, key: &KeyId) -> Vec<Record>;

    /// The result itself. `ctx` is that of the vertex it is loaded for.
    async fn load(&self, record: &Record, ctx: &OpContext<V>) -> Result<V, Failure>;
}

/// The source that also learns. A store that cannot write says so in the log and goes on: a broken
/// cache costs time, not builds.
#[async_trait]
pub trait RecordStore<V>: RecordSource<V> {
    /// From now on `link` leads from `key` to `to`.
    fn link(&self, key: &KeyId, link: &Link, to: &KeyId);

    /// A name for a record to be. Nobody can find it before [`Self::save`].
    fn name(&self, key: &KeyId) -> Record;

    /// Keeps `value` under `record`.
    async fn save(&self, record: &Record, value: &V);

    /// Drops a record, and the links that then lead nowhere.
    fn forget(&self, record: &RecordId);
}
