//! A snapshot being written.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use slipway_model::mount::Tree;

use super::origin::{self, Moved, Origins};
use super::table::{self, Row};
use super::{CacheMount, RecordType, Ref};
use crate::error::{At as _, Error, Result};
use crate::fault::{self, Point};
use crate::mounted::Mounted;
use crate::snapshot::{Changes, SnapshotId};
use crate::store::Store;

#[derive(Clone, Debug, Default)]
pub struct PrepareOptions {
    /// What makes it, for people: shown by `du`.
    pub description: String,
    pub record_type: RecordType,
}

/// A writable snapshot of one owner. Dropped without [`commit`](Self::commit), it is gone.
pub struct Active {
    pub(super) store: Store,
    parent: Option<Ref>,
    row: Row,
    shares_with: Vec<SnapshotId>,
    pub(super) origins: Origins,
    committed: bool,
}

impl Store {
    /// Makes a writable snapshot on `parent`. With overlay this is two or three `mkdir`s.
    pub fn prepare(&self, parent: Option<&Ref>, options: PrepareOptions) -> Result<Active> {
        let id = SnapshotId::random().at("make a name in", &self.inner.root)?;
        let row = Row {
            id,
            parent: parent.map(Ref::id),
            mutable: false,
            record_type: options.record_type,
            description: options.description,
            created: self.inner.clock.now(),
            last_used: None,
            usage_count: 0,
            size: None,
        };
        // Made first: if preparing fails half way, dropping it cleans up.
        let (store, parent) = (self.clone(), parent.cloned());
        let (shares_with, origins) = (Vec::new(), Origins::new());
        let active = Active { store, parent, row, shares_with, origins, committed: false };
        // Told before it is there, or it could be taken for a leftover.
        self.inner.live.lock().actives.insert(id, active.row.clone());
        self.inner.snapshotter.prepare(&id, &active.parents())?;
        Ok(active)
    }
}

impl Active {
    pub fn id(&self) -> SnapshotId {
        self.row.id
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn parent(&self) -> Option<&Ref> {
        self.parent.as_ref()
    }

    /// What to mount to write it.
    pub fn tree(&self) -> Tree {
        self.store.inner.snapshotter.tree(&self.row.id, &self.parents(), true)
    }

    /// Where a layer is applied, or the changes so far are found.
    pub fn changes(&self) -> Changes {
        self.store.inner.snapshotter.changes(&self.row.id, &self.parents())
    }

    /// The directory of its own; see [`Ref::upper_dir`].
    pub fn upper_dir(&self) -> PathBuf {
        self.changes().directory().to_owned()
    }

    /// Mounts it writable for this process; see [`Mounted`]. Everything opened through it must be closed, and
    /// it be dropped, before [`commit`](Self::commit).
    pub fn mount(&self) -> Result<Mounted> {
        Mounted::new(&self.tree())
    }

    /// Tells that files of `other` will be hard-linked into this one, so that usage counts them once; before the
    /// first is. `other` may be pruned all the same. Only immutable snapshots may be linked from, the files never
    /// written again, and only what [`may_share`](Self::may_share) allows.
    pub fn shares_files_with(&mut self, other: &Ref, moved: Option<Moved<'_>>) -> Result<()> {
        self.origins.extend(origin::of_shared(&self.store, &other.id(), moved)?);
        self.share_with(other.id())
    }

    /// As [`shares_files_with`](Self::shares_files_with), for a directory whose files are only ever replaced, and have
    /// one path each in all snapshots.
    pub fn shares_files_with_directory(&mut self, other: &CacheMount) -> Result<()> {
        self.origins.insert((other.id(), String::new()));
        self.share_with(other.id())
    }

    /// Written down now: what is measured while there are links that come to nothing is not to be believed, after a
    /// kill no more than when this is dropped.
    fn share_with(&mut self, other: SnapshotId) -> Result<()> {
        self.shares_with.push(other);
        self.store.inner.metadata.with(|db| table::share(db, &self.row.id, &[other]))
    }

    /// Makes it immutable. Nothing is copied, scanned or synced; [`Store::flush`] makes it survive a kill.
    pub fn commit(mut self) -> Result<Ref> {
        let inner = &self.store.inner;
        inner.snapshotter.commit(&self.row.id)?;
        fault::pass(Point::SnapshotRow).at("note a snapshot in", &inner.root)?;
        let committed = {
            // In one go, so that pruning never sees the row without its user.
            let mut live = inner.live.lock();
            if let Some(parent) = &self.parent
                && !self.store.has_row(&parent.id())?
            {
                let reason = format!("the snapshot below, {}, is gone", parent.id());
                return Err(Error::WritesLost { reason });
            }
            inner.metadata.with_epoch(|db, epoch| {
                table::insert(db, &self.row, epoch)?;
                origin::insert(db, &self.row.id, &self.origins)?;
                table::share(db, &self.row.id, &self.shares_with)
            })?;
            live.actives.remove(&self.row.id);
            self.store.enliven(&mut live, self.row.clone(), self.parent.clone())
        };
        self.committed = true;
        inner.housekeeper.measure(self.row.id);
        Ok(committed)
    }

    pub(super) fn parents(&self) -> Vec<SnapshotId> {
        self.parent.as_ref().map(Ref::stack).unwrap_or_default()
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let inner = &self.store.inner;
        inner.live.lock().actives.remove(&self.row.id);
        if !self.shares_with.is_empty() {
            inner.links_gone.fetch_add(1, Ordering::SeqCst);
            if let Err(error) = inner.metadata.with(|db| table::unshare(db, &self.row.id)) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "sizes of snapshots may be out of date"
                );
            }
        }
        if let Err(error) = inner.snapshotter.discard(&self.row.id) {
            inner.metadata.expect_leftovers();
            tracing::warn!(
                id = %self.row.id, error = &error as &dyn std::error::Error,
                "an unfinished snapshot stays until the next start"
            );
        }
        inner.housekeeper.empty_bin();
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Active").field(&self.row.id).finish()
    }
}
