//! Cache mounts (`RUN --mount=type=cache`): directories that stay between builds, named by an id.
//!
//! All directories of one id (and base) form a pool, whatever the sharing they were made with:
//!
//! | sharing | takes | if there is none |
//! |---|---|---|
//! | `Shared` | the one that others share now, else a free one | makes one |
//! | `Private` | a free one | makes one |
//! | `Locked` | a free one | makes one if the pool is empty, else waits |
//!
//! They are plain directories, never overlays: several containers use one at once, which overlayfs does not
//! allow. A base is copied in when the directory is made.

use std::path::PathBuf;

use rusqlite::Connection;
use slipway_model::mount::Tree;

use super::table::{self, IN_USE, Row};
use super::{Live, RecordType, Ref};
use crate::error::{At as _, Error, Result};
use crate::fault::{self, Point};
use crate::snapshot::{SnapshotId, copy_tree_from};
use crate::store::Store;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

#[derive(Default)]
pub(crate) struct Holders {
    pub(crate) count: usize,
    shared: bool,
}

/// A cache directory in use. Free for others, or shared by fewer, when dropped.
pub struct CacheMount {
    store: Store,
    id: SnapshotId,
    new: bool,
}

/// What a directory is made for.
#[derive(Clone)]
struct Purpose {
    record_type: RecordType,
    description: String,
}

impl Store {
    /// Takes a cache directory of the pool `id`; waits if it is locked by another.
    ///
    /// `base` is what a new one begins with; pools with another base are other pools.
    pub async fn cache_mount(&self, id: &str, sharing: Sharing, base: Option<&Ref>) -> Result<CacheMount> {
        let pool = base.map_or_else(|| id.to_owned(), |base| format!("{id}\n{}", base.id()));
        let purpose =
            Purpose { record_type: RecordType::CacheMount, description: format!("cache mount {id}") };
        self.take_directory(pool, sharing, base, purpose).await
    }

    /// Takes a directory that keeps what a client sent, for the next build that asks with the same `key`.
    /// While one build holds it, another gets a second one.
    pub async fn source_directory(&self, key: &str, description: &str) -> Result<CacheMount> {
        let purpose = Purpose { record_type: RecordType::LocalSource, description: description.to_owned() };
        self.take_directory(format!("source\n{key}"), Sharing::Private, None, purpose).await
    }

    /// Takes a directory that is kept under `key` for everybody, one at a time.
    pub async fn shared_directory(&self, key: &str, description: &str) -> Result<CacheMount> {
        let purpose = Purpose { record_type: RecordType::Regular, description: description.to_owned() };
        self.take_directory(format!("shared\n{key}"), Sharing::Locked, None, purpose).await
    }

    async fn take_directory(
        &self,
        pool: String,
        sharing: Sharing,
        base: Option<&Ref>,
        purpose: Purpose,
    ) -> Result<CacheMount> {
        loop {
            // Registered before looking, so that no release is missed.
            let freed = self.inner.cache_mount_freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let (store, purpose, pool, base) = (self.clone(), purpose.clone(), pool.clone(), base.cloned());
            let taken =
                tokio::task::spawn_blocking(move || store.try_take(&purpose, &pool, sharing, base.as_ref()));
            match taken.await {
                Ok(Ok(None)) => freed.await,
                Ok(Ok(Some(mount))) => return Ok(mount),
                Ok(Err(error)) => return Err(error),
                Err(stopped) => {
                    let stopped = std::io::Error::other(stopped);
                    return Err(Error::io("take a cache mount in", &self.inner.root, stopped));
                }
            }
        }
    }

    fn try_take(
        &self,
        purpose: &Purpose,
        pool: &str,
        sharing: Sharing,
        base: Option<&Ref>,
    ) -> Result<Option<CacheMount>> {
        let mut live = self.inner.live.lock();
        let members = self.inner.metadata.with(|db| members(db, pool))?;
        if let Some(id) = choose(&live, &members, sharing) {
            if self.is_lost(&live, &id)? {
                drop(live);
                return self.try_take(purpose, pool, sharing, base);
            }
            let mark = self.inner.metadata.mark();
            let before = self.inner.metadata.with(|db| table::set_in_use(db, &id))?;
            let taken = self.take(&mut live, id, sharing);
            drop(live);
            if before <= self.inner.metadata.durable_epoch() {
                // After a power loss, its row as it was would be believed, whatever is half written by then.
                self.inner.metadata.flush_durable(mark)?;
            }
            return Ok(Some(taken));
        }
        let wait = sharing == Sharing::Locked && !members.is_empty() || live.being_made.contains(pool);
        if wait {
            return Ok(None);
        }
        live.being_made.insert(pool.to_owned());
        drop(live);
        let made = self.make_cache_directory(base);
        let mut live = self.inner.live.lock();
        live.being_made.remove(pool);
        let result = made.and_then(|new| {
            self.inner.metadata.expecting_leftovers(|| {
                fault::pass(Point::CacheMountRow).at("note a cache mount in", &self.inner.root)?;
                self.inner.metadata.with(|db| insert(db, &self.row(new, purpose), pool))
            })?;
            let mut mount = self.take(&mut live, new, sharing);
            mount.new = true;
            Ok(Some(mount))
        });
        drop(live);
        self.inner.cache_mount_freed.notify_waiters();
        result
    }

    /// Whether another program has removed it; then it is forgotten, unless somebody still uses it.
    fn is_lost(&self, live: &Live, id: &SnapshotId) -> Result<bool> {
        if self.inner.snapshotter.exists(id)? {
            return Ok(false);
        }
        tracing::warn!(%id, "a cache mount was removed by another program: it begins anew");
        let forget = |db: &Connection| table::delete_with_descendants(db, id, |id| live.is_used(id));
        Ok(!self.inner.metadata.with(forget)?.is_empty())
    }

    fn take(&self, live: &mut Live, id: SnapshotId, sharing: Sharing) -> CacheMount {
        let holders = live.cache_mounts.entry(id).or_default();
        holders.count += 1;
        holders.shared = sharing == Sharing::Shared;
        CacheMount { store: self.clone(), id, new: false }
    }

    fn make_cache_directory(&self, base: Option<&Ref>) -> Result<SnapshotId> {
        let id = SnapshotId::random().at("make a name in", &self.inner.root)?;
        let snapshotter = &self.inner.snapshotter;
        let made = snapshotter.prepare(&id, &[]).and_then(|()| {
            let Some(base) = base else { return Ok(()) };
            copy_tree_from(base.mount()?.root(), snapshotter.changes(&id, &[]).directory())
        });
        match made {
            Ok(()) => Ok(id),
            Err(error) => {
                self.inner.metadata.expecting_leftovers(|| snapshotter.discard(&id))?;
                self.inner.housekeeper.empty_bin();
                Err(error)
            }
        }
    }

    fn row(&self, id: SnapshotId, purpose: &Purpose) -> Row {
        Row {
            id,
            parent: None,
            mutable: true,
            record_type: purpose.record_type,
            description: purpose.description.clone(),
            created: self.inner.clock.now(),
            last_used: None,
            usage_count: 0,
            size: None,
        }
    }
}

/// The one to take of a pool, the last used first.
fn choose(live: &Live, members: &[SnapshotId], sharing: Sharing) -> Option<SnapshotId> {
    let holders = |id: &SnapshotId| live.cache_mounts.get(id).filter(|holders| holders.count > 0);
    let joined = members
        .iter()
        .find(|id| sharing == Sharing::Shared && holders(id).is_some_and(|holders| holders.shared));
    joined.or_else(|| members.iter().find(|id| holders(id).is_none())).copied()
}

fn members(db: &Connection, pool: &str) -> rusqlite::Result<Vec<SnapshotId>> {
    db.prepare_cached(
        "SELECT id FROM snapshot JOIN cache_mount ON snapshot = id WHERE pool = ?1
         ORDER BY last_used DESC, created, id",
    )?
    .query_map([pool], |row| row.get(0))?
    .collect()
}

fn insert(db: &Connection, row: &Row, pool: &str) -> rusqlite::Result<()> {
    table::insert(db, row, IN_USE)?;
    db.prepare_cached("INSERT INTO cache_mount (snapshot, pool) VALUES (?1, ?2)")?
        .execute(rusqlite::params![row.id, pool])?;
    Ok(())
}

impl CacheMount {
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Whether it was made for this use.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// A writable directory.
    pub fn tree(&self) -> Tree {
        self.store.inner.snapshotter.tree(&self.id, &[], true)
    }

    /// The directory itself.
    pub fn directory(&self) -> PathBuf {
        self.store.inner.snapshotter.changes(&self.id, &[]).directory().to_owned()
    }

    /// What `du` shows.
    pub fn describe(&self, description: &str) -> Result<()> {
        self.store.inner.metadata.with(|db| table::set_description(db, &self.id, description))
    }
}

impl Drop for CacheMount {
    fn drop(&mut self) {
        let inner = &self.store.inner;
        let mut live = inner.live.lock();
        let now = inner.clock.now();
        live.note_use(&self.id, now);
        if let Some(holders) = live.cache_mounts.get_mut(&self.id) {
            holders.count -= 1;
            if holders.count > 0 {
                return;
            }
            live.cache_mounts.remove(&self.id);
        }
        let saved = live
            .save_uses(&inner.metadata)
            .and_then(|()| inner.metadata.with_epoch(|db, epoch| table::set_free(db, &self.id, epoch)));
        drop(live);
        if let Err(error) = saved {
            tracing::warn!(id = %self.id, error = &error as &dyn std::error::Error, "the use of a cache mount was not noted");
        }
        inner.cache_mount_freed.notify_waiters();
    }
}
