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

/// Snapshots that are remembered; past it, all are forgotten, and what is asked for is learned anew.
const MOST: usize = 4096;

#[derive(Default)]
pub(crate) struct Digests(Mutex<HashMap<SnapshotId, Arc<ContentCache>>>);

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
            known.remove(id);
        }
    }

    /// Bottom up, so that a long chain needs no deep stack.
    fn cache(&self, snapshot: &Ref) -> Result<Arc<ContentCache>> {
        let mut below: Option<Arc<ContentCache>> = None;
        for layer in snapshot.chain() {
            let known = self.0.lock().get(&layer.id()).cloned();
            let cache = match known {
                Some(cache) => cache,
                None => self.learn(&layer, below.as_deref())?,
            };
            below = Some(cache);
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
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(layer.id(), cache.clone());
        Ok(cache)
    }
}
