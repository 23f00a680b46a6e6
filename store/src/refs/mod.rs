//! Who uses which snapshot, and what is known about it.
//!
//! | handle | is |
//! |---|---|
//! | [`Ref`] | a committed snapshot; while it lives, the snapshot and all below it stay |
//! | [`Active`] | a snapshot being written; dropped without a commit it is gone |
//! | [`CacheMount`] | a mutable snapshot that stays between builds |
//!
//! Leases are in memory only ([`Live`]): after a crash nobody uses anything, and what was not committed is
//! a directory without a row. A snapshot that has children is kept by them, by their rows.
//!
//! One lock, `live`, orders it all: whoever begins to use a snapshot, commits one, or takes rows away does
//! so while holding it.

mod active;
mod cache_mount;
mod fact;
mod layer_facts;
mod live;
mod name;
mod origin;
mod record_type;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use slipway_model::mount::Tree;

use crate::error::Result;
use crate::mounted::Mounted;
use crate::snapshot::{Changes, SnapshotId};
use crate::store::Store;
pub use active::{Active, PrepareOptions};
pub use cache_mount::{CacheMount, Seed, Sharing};
pub(crate) use layer_facts::blobs_of;
pub use layer_facts::{LayerBlob, LayerFacts};
pub(crate) use live::Live;
pub use origin::Moved;
pub use record_type::RecordType;
use table::Row;

/// A committed snapshot. Cheap to clone; none of the snapshots it stands on goes while it lives.
#[derive(Clone)]
pub struct Ref {
    inner: Arc<RefInner>,
}

pub(crate) struct RefInner {
    store: Store,
    id: SnapshotId,
    parent: Option<Ref>,
    depth: usize,
    description: String,
    record_type: RecordType,
    created: i64,
}

impl Ref {
    pub fn id(&self) -> SnapshotId {
        self.inner.id
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn parent(&self) -> Option<&Ref> {
        self.inner.parent.as_ref()
    }

    /// All snapshots it is made of, from the lowest to itself.
    pub fn chain(&self) -> Vec<Ref> {
        let mut chain: Vec<_> = self.downwards().cloned().collect();
        chain.reverse();
        chain
    }

    /// How many snapshots it is made of; at least 1.
    pub fn depth(&self) -> usize {
        self.inner.depth
    }

    /// What to mount to read it.
    pub fn tree(&self) -> Tree {
        self.inner.store.inner.snapshotter.tree(&self.id(), &self.parents(), false)
    }

    /// The directory that holds what this snapshot adds to its parent (overlay), or all of it (native).
    pub fn upper_dir(&self) -> PathBuf {
        self.changes().directory().to_owned()
    }

    /// How to find what it changed relative to its parent.
    pub fn changes(&self) -> Changes {
        self.inner.store.inner.snapshotter.changes(&self.id(), &self.parents())
    }

    /// Mounts it for reading by this process; see [`Mounted`].
    pub fn mount(&self) -> Result<Mounted> {
        Mounted::new(&self.tree())
    }

    /// Bytes on the disk of this snapshot alone; measured now if it was not yet.
    pub fn usage(&self) -> Result<u64> {
        let store = &self.inner.store.inner;
        if let Some(size) = store.metadata.with(|db| table::size(db, &self.id()))? {
            return Ok(size);
        }
        let size = store.snapshotter.usage(&self.id())?.bytes;
        store.metadata.with(|db| table::set_size(db, &self.id(), size))?;
        Ok(size)
    }

    /// What it was made by, for people.
    pub fn description(&self) -> &str {
        &self.inner.description
    }

    pub fn record_type(&self) -> RecordType {
        self.inner.record_type
    }

    pub fn created(&self) -> SystemTime {
        crate::store::time(self.inner.created)
    }

    fn downwards(&self) -> impl Iterator<Item = &Ref> {
        std::iter::successors(Some(self), |snapshot| snapshot.parent())
    }

    fn parents(&self) -> Vec<SnapshotId> {
        self.downwards().skip(1).map(Ref::id).collect()
    }

    /// The stack for one that stands on this.
    fn stack(&self) -> Vec<SnapshotId> {
        self.downwards().map(Ref::id).collect()
    }
}

impl Store {
    /// The committed snapshot of this name; `None` if it is not, or no longer, here.
    pub fn get(&self, id: &SnapshotId) -> Result<Option<Ref>> {
        if !self.is_still_there(id)? {
            return Ok(None);
        }
        // Declared before the lock, so that a chain given up half way is dropped after it.
        let mut rows = Vec::new();
        let mut lowest = None;
        let mut live = self.inner.live.lock();
        self.load(&live, id, &mut rows, &mut lowest)?;
        if rows.is_empty() {
            return Ok(lowest);
        }
        let mut top = lowest;
        for row in rows.into_iter().rev() {
            top = Some(self.enliven(&mut live, row, top));
        }
        Ok(top)
    }

    /// Whether there is a committed snapshot of this name, and nothing of it was lost.
    pub fn exists(&self, id: &SnapshotId) -> Result<bool> {
        Ok(self.inner.metadata.with(|db| table::get(db, id))?.is_some_and(|row| !row.mutable))
    }

    /// Whether others have not taken it away. If they have, it is forgotten with all that stands on it, and made again
    /// by whoever needs it. Those below a snapshot cannot be taken while it is there.
    fn is_still_there(&self, id: &SnapshotId) -> Result<bool> {
        if !self.exists(id)? || self.inner.snapshotter.exists(id)? {
            return Ok(true);
        }
        tracing::warn!(%id, "a snapshot was removed by another program: it will be made again");
        let gone = {
            let live = self.inner.live.lock();
            self.inner.metadata.with(|db| table::delete_with_descendants(db, id, |id| live.is_used(id)))?
        };
        self.inner.metadata.expect_leftovers();
        self.tell_removed(&gone);
        Ok(false)
    }

    /// Whether a snapshot that is in use still has its row: a transaction that was given up may have held it.
    pub(super) fn has_row(&self, id: &SnapshotId) -> Result<bool> {
        if self.inner.metadata.has_lost() { self.exists(id) } else { Ok(true) }
    }

    /// Collects rows from `id` down to one that is in use already, or to the bottom.
    fn load(
        &self,
        live: &Live,
        id: &SnapshotId,
        rows: &mut Vec<Row>,
        lowest: &mut Option<Ref>,
    ) -> Result<()> {
        let mut next = Some(*id);
        while let Some(id) = next {
            let found = live.find(&id);
            if let Some(inner) = found
                && self.has_row(&id)?
            {
                *lowest = Some(Ref { inner });
                break;
            }
            match self.inner.metadata.with(|db| table::get(db, &id))? {
                Some(row) if !row.mutable => {
                    next = row.parent;
                    rows.push(row);
                }
                // Also if one in the middle is missing: then nothing above it is whole.
                _ => {
                    rows.clear();
                    break;
                }
            }
        }
        Ok(())
    }

    fn enliven(&self, live: &mut Live, row: Row, parent: Option<Ref>) -> Ref {
        let inner = Arc::new(RefInner {
            store: self.clone(),
            id: row.id,
            depth: parent.as_ref().map_or(0, Ref::depth) + 1,
            parent,
            description: row.description,
            record_type: row.record_type,
            created: row.created,
        });
        live.insert(row.id, Arc::downgrade(&inner));
        Ref { inner }
    }
}

impl Drop for RefInner {
    fn drop(&mut self) {
        let now = self.store.inner.clock.now();
        self.store.inner.live.lock().release(&self.id, now);
        // A chain of thousands must not be given up by as many nested calls.
        let mut parent = self.parent.take();
        while let Some(inner) = parent.and_then(|parent| Arc::into_inner(parent.inner)) {
            parent = inner.into_parent();
        }
    }
}

impl RefInner {
    /// Ends this one, handing on its parent.
    fn into_parent(mut self) -> Option<Ref> {
        self.parent.take()
    }
}

pub(crate) type WeakRef = Weak<RefInner>;

impl PartialEq for Ref {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Ref {}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ref").field(&self.inner.id).finish()
    }
}
