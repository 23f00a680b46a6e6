//! What this process uses right now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::table::{self, Row};
use super::{RefInner, WeakRef};
use crate::error::Result;
use crate::metadata::Metadata;
use crate::snapshot::SnapshotId;

#[derive(Default)]
pub(crate) struct Live {
    refs: HashMap<SnapshotId, WeakRef>,
    /// Being written: as their rows will be.
    pub(super) actives: HashMap<SnapshotId, Row>,
    pub(super) cache_mounts: HashMap<SnapshotId, super::cache_mount::Holders>,
    /// Cache mounts whose first directory is being made, by pool.
    pub(super) being_made: HashSet<String>,
    uses: HashMap<SnapshotId, Uses>,
}

#[derive(Default)]
struct Uses {
    count: i64,
    last: i64,
}

impl Live {
    pub(super) fn find(&self, id: &SnapshotId) -> Option<Arc<RefInner>> {
        self.refs.get(id)?.upgrade()
    }

    pub(super) fn insert(&mut self, id: SnapshotId, inner: WeakRef) {
        self.refs.insert(id, inner);
    }

    /// The last `Ref` is gone, unless somebody has made a new one since.
    pub(super) fn release(&mut self, id: &SnapshotId, now: i64) {
        if self.refs.get(id).is_some_and(|weak| weak.strong_count() == 0) {
            self.refs.remove(id);
        }
        self.note_use(id, now);
    }

    pub(super) fn note_use(&mut self, id: &SnapshotId, now: i64) {
        let uses = self.uses.entry(*id).or_default();
        uses.count += 1;
        uses.last = now;
    }

    /// Whether a handle to it lives. The snapshots below it are in use too, by its handle's own handles.
    pub(crate) fn is_used(&self, id: &SnapshotId) -> bool {
        self.refs.get(id).is_some_and(|weak| weak.strong_count() > 0)
            || self.cache_mounts.get(id).is_some_and(|holders| holders.count > 0)
    }

    pub(crate) fn is_active(&self, id: &SnapshotId) -> bool {
        self.actives.contains_key(id)
    }

    /// Whether directories are being made that are not told here yet.
    pub(crate) fn is_making(&self) -> bool {
        !self.being_made.is_empty()
    }

    /// Those being written, as they will be.
    pub(crate) fn actives(&self) -> impl Iterator<Item = &Row> {
        self.actives.values()
    }

    /// Writes down the uses noted so far. They are kept here first so that using costs no transaction.
    pub(crate) fn save_uses(&mut self, metadata: &Metadata) -> Result<()> {
        if self.uses.is_empty() {
            return Ok(());
        }
        metadata.with(|db| {
            self.uses.iter().try_for_each(|(id, uses)| table::add_uses(db, id, uses.count, uses.last))
        })?;
        self.uses.clear();
        Ok(())
    }
}
