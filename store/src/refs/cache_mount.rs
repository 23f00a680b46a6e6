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

use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// Fills new cache directories.
pub trait Seed: Send + Sync {
    /// Fills `directory`, which is empty; `false` if there is nothing for it, and nothing was written. Blocks.
    fn fill(&self, directory: &Path) -> Result<bool>;
}

/// What a new directory begins with: the seed's, else the base's.
#[derive(Clone)]
struct Start<'a> {
    base: Option<&'a Ref>,
    seed: Option<Arc<dyn Seed>>,
}

impl Start<'_> {
    const EMPTY: Self = Self { base: None, seed: None };
}

/// What became of asking for a directory that is there.
enum Kept {
    Taken(CacheMount),
    None,
    /// All are taken by others.
    Busy,
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
        self.cache_mount_with(id, sharing, base, None).await
    }

    /// The same; a new one begins with what `seed` has for it, if it has something.
    pub async fn cache_mount_with(
        &self,
        id: &str,
        sharing: Sharing,
        base: Option<&Ref>,
        seed: Option<Arc<dyn Seed>>,
    ) -> Result<CacheMount> {
        let purpose =
            Purpose { record_type: RecordType::CacheMount, description: format!("cache mount {id}") };
        self.take_directory(&pool_of(id, base), sharing, Start { base, seed }, purpose).await
    }

    /// The pools that there are for `id`: what each begins with. Blocks.
    pub fn cache_mount_bases(&self, id: &str) -> Result<Vec<Option<SnapshotId>>> {
        let pools = self.inner.metadata.with(|db| pools(db, id))?;
        let base = |pool: &String| match pool.strip_prefix(id)? {
            "" => Some(None),
            rest => rest.strip_prefix('\n')?.parse().ok().map(Some),
        };
        Ok(pools.iter().filter_map(base).collect())
    }

    /// Takes a directory of the pool like [`cache_mount`](Self::cache_mount), but makes none.
    pub async fn kept_cache_mount(
        &self,
        id: &str,
        sharing: Sharing,
        base: Option<&Ref>,
    ) -> Result<Option<CacheMount>> {
        let pool = pool_of(id, base);
        loop {
            let freed = self.inner.cache_mount_freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let (store, pool) = (self.clone(), pool.clone());
            let taken = tokio::task::spawn_blocking(move || store.try_take_kept(&pool, sharing)).await;
            match taken.map_err(|stopped| self.stopped(stopped))?? {
                Kept::Taken(mount) => return Ok(Some(mount)),
                Kept::None => return Ok(None),
                Kept::Busy => freed.await,
            }
        }
    }

    /// Takes the directories of the pool `id` out of it, `with_bases` also of those pools that have one: whoever asks
    /// next gets a new one. Nothing of them is lost for those who use them now; then they are cache like any other.
    pub fn renew_cache_mounts(&self, id: &str, with_bases: bool) -> Result<()> {
        let _live = self.inner.live.lock();
        self.inner.metadata.with(|db| {
            db.execute(
                "UPDATE cache_mount SET pool = 'left' || char(10) || snapshot
                 WHERE pool = ?1 OR (?2 AND substr(pool, 1, length(?1) + 1) = ?1 || char(10))",
                rusqlite::params![id, with_bases],
            )
            .map(drop)
        })
    }

    /// Takes a directory that keeps what a client sent, for the next build that asks with the same `key`.
    /// While one build holds it, another gets a second one.
    pub async fn source_directory(&self, key: &str, description: &str) -> Result<CacheMount> {
        let purpose = Purpose { record_type: RecordType::LocalSource, description: description.to_owned() };
        self.take_directory(&format!("source\n{key}"), Sharing::Private, Start::EMPTY, purpose).await
    }

    /// Takes a directory that is kept under `key` for everybody, one at a time.
    pub async fn shared_directory(&self, key: &str, description: &str) -> Result<CacheMount> {
        let purpose = Purpose { record_type: RecordType::Regular, description: description.to_owned() };
        self.take_directory(&format!("shared\n{key}"), Sharing::Locked, Start::EMPTY, purpose).await
    }

    async fn take_directory(
        &self,
        pool: &str,
        sharing: Sharing,
        start: Start<'_>,
        purpose: Purpose,
    ) -> Result<CacheMount> {
        loop {
            // Registered before looking, so that no release is missed.
            let freed = self.inner.cache_mount_freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let (store, purpose, pool) = (self.clone(), purpose.clone(), pool.to_owned());
            let (base, seed) = (start.base.cloned(), start.seed.clone());
            let taken = tokio::task::spawn_blocking(move || {
                store.try_take(&purpose, &pool, sharing, &Start { base: base.as_ref(), seed })
            });
            match taken.await.map_err(|stopped| self.stopped(stopped))?? {
                None => freed.await,
                Some(mount) => return Ok(mount),
            }
        }
    }

    fn stopped(&self, stopped: tokio::task::JoinError) -> Error {
        Error::io("take a cache mount in", &self.inner.root, std::io::Error::other(stopped))
    }

    fn try_take_kept(&self, pool: &str, sharing: Sharing) -> Result<Kept> {
        let live = self.inner.live.lock();
        let members = self.inner.metadata.with(|db| members(db, pool))?;
        match choose(&live, &members, sharing) {
            Some(id) => Ok(Kept::Taken(self.take_known(live, id, sharing)?)),
            None if members.is_empty() && !live.being_made.contains(pool) => Ok(Kept::None),
            None => Ok(Kept::Busy),
        }
    }

    fn take_known(
        &self,
        mut live: parking_lot::MutexGuard<'_, Live>,
        id: SnapshotId,
        sharing: Sharing,
    ) -> Result<CacheMount> {
        let mark = self.inner.metadata.mark();
        let before = self.inner.metadata.with(|db| table::set_in_use(db, &id))?;
        let taken = self.take(&mut live, id, sharing);
        drop(live);
        if before <= self.inner.metadata.durable_epoch() {
            // After a power loss, its row as it was would be believed, whatever is half written by then.
            self.inner.metadata.flush_durable(mark)?;
        }
        Ok(taken)
    }

    fn try_take(
        &self,
        purpose: &Purpose,
        pool: &str,
        sharing: Sharing,
        start: &Start<'_>,
    ) -> Result<Option<CacheMount>> {
        let mut live = self.inner.live.lock();
        let members = self.inner.metadata.with(|db| members(db, pool))?;
        if let Some(id) = choose(&live, &members, sharing) {
            if self.is_lost(&live, &id)? {
                drop(live);
                return self.try_take(purpose, pool, sharing, start);
            }
            return self.take_known(live, id, sharing).map(Some);
        }
        let wait = sharing == Sharing::Locked && !members.is_empty() || live.being_made.contains(pool);
        if wait {
            return Ok(None);
        }
        live.being_made.insert(pool.to_owned());
        drop(live);
        let made = self.make_cache_directory(start);
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

    fn make_cache_directory(&self, start: &Start<'_>) -> Result<SnapshotId> {
        if let Some(seed) = &start.seed {
            match self.make_directory(|directory| seed.fill(directory)) {
                Ok(Some(id)) => return Ok(id),
                Ok(None) => {}
                // It is a cache: without its contents a build is slower, not wrong.
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a cache mount begins empty");
                }
            }
        }
        let base = |directory: &Path| {
            let Some(base) = start.base else { return Ok(true) };
            copy_tree_from(base.mount()?.root(), directory).map(|()| true)
        };
        let made = self.make_directory(base)?;
        made.ok_or_else(|| Error::io("make a cache mount in", &self.inner.root, std::io::ErrorKind::Other))
    }

    /// A directory that `fill` has filled; `None`, and nothing of it stays, if `fill` says so.
    fn make_directory(&self, fill: impl FnOnce(&Path) -> Result<bool>) -> Result<Option<SnapshotId>> {
        let id = SnapshotId::random().at("make a name in", &self.inner.root)?;
        let snapshotter = &self.inner.snapshotter;
        let made =
            snapshotter.prepare(&id, &[]).and_then(|()| fill(snapshotter.changes(&id, &[]).directory()));
        if let Ok(true) = made {
            return Ok(Some(id));
        }
        self.inner.metadata.expecting_leftovers(|| snapshotter.discard(&id))?;
        self.inner.housekeeper.empty_bin();
        made.map(|_| None)
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

fn pool_of(id: &str, base: Option<&Ref>) -> String {
    base.map_or_else(|| id.to_owned(), |base| format!("{id}\n{}", base.id()))
}

/// Pools with this id, each once.
fn pools(db: &Connection, id: &str) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached("SELECT DISTINCT pool FROM cache_mount WHERE pool = ?1 OR pool BETWEEN ?2 AND ?3")?
        .query_map(rusqlite::params![id, format!("{id}\n"), format!("{id}\u{b}")], |row| row.get(0))?
        .collect()
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
