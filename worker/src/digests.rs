//! Content digests of snapshots, remembered while the daemon runs.
//!
//! A snapshot's cache starts from its parent's, so a step that changed one file costs that file.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{CWD, Mode, OFlags};
use slipway_model::Digest;
use slipway_store::content_hash::{ContentCache, Manifest, Selector};
use slipway_store::{Changes, Ref, SnapshotId};

use crate::{Error, Result};

/// Snapshots that are remembered. One costs as much as the files of it that were asked for; beyond, the one that
/// was not used for longest is forgotten, and learned anew when it is asked for.
const MOST: usize = 128;

#[derive(Default)]
pub(crate) struct Digests(Mutex<Known>);

#[derive(Default)]
struct Known {
    caches: HashMap<SnapshotId, (Arc<ContentCache>, u64)>,
    /// Counts uses.
    now: u64,
}

impl Known {
    fn get(&mut self, id: &SnapshotId) -> Option<Arc<ContentCache>> {
        self.now += 1;
        let (cache, used) = self.caches.get_mut(id)?;
        *used = self.now;
        Some(cache.clone())
    }

    fn insert(&mut self, id: SnapshotId, cache: Arc<ContentCache>) {
        self.now += 1;
        self.caches.insert(id, (cache, self.now));
        if self.caches.len() > MOST {
            let oldest = self.caches.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
            oldest.and_then(|id| self.caches.remove(&id));
        }
    }
}

impl Digests {
    /// The digest of what `selectors` select in `snapshot`.
    pub(crate) fn of(&self, snapshot: &Ref, selectors: &[Selector]) -> Result<Digest> {
        let cache = self.cache(snapshot)?;
        let root = snapshot.mount()?;
        Ok(cache.checksum(root.root(), selectors)?)
    }

    /// What `selectors` select in `snapshot`, whose root is `root`.
    pub(crate) fn manifest(
        &self,
        snapshot: &Ref,
        root: BorrowedFd<'_>,
        selectors: &[Selector],
        limit: usize,
    ) -> Result<Manifest> {
        Ok(self.cache(snapshot)?.manifest(root, selectors, limit)?)
    }

    pub(crate) fn forget(&self, removed: &[SnapshotId]) {
        let mut known = self.0.lock();
        for id in removed {
            known.caches.remove(id);
        }
    }

    /// From the highest that is known upwards, so that a long chain needs no deep stack, nor to be remembered
    /// whole.
    fn cache(&self, snapshot: &Ref) -> Result<Arc<ContentCache>> {
        let chain = snapshot.chain();
        let found = chain
            .iter()
            .enumerate()
            .rev()
            .find_map(|(at, layer)| Some((at, self.0.lock().get(&layer.id())?)));
        let (mut below, unknown) = match found {
            Some((at, cache)) => (Some(cache), &chain[at + 1..]),
            None => (None, &chain[..]),
        };
        for layer in unknown {
            below = Some(self.learn(layer, below.as_deref())?);
        }
        Ok(below.unwrap_or_default())
    }

    fn learn(&self, layer: &Ref, parent: Option<&ContentCache>) -> Result<Arc<ContentCache>> {
        let cache = match (parent, layer.changes()) {
            (Some(parent), Changes::Upper { upper, .. }) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let upper = rustix::fs::openat(CWD, &upper, flags, Mode::empty())
                    .map_err(|error| Error::io(format!("cannot open {}", upper.display()), error))?;
                parent.inherit(upper.as_fd())?
            }
            _ => ContentCache::default(),
        };
        let cache = Arc::new(cache);
        self.0.lock().insert(layer.id(), cache.clone());
        Ok(cache)
    }
}
