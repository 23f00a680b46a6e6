//! Who holds which blob in this process; nothing of this is on disk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_model::BlobDigest;

#[derive(Clone, Default)]
pub(super) struct Leases {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    holders: HashMap<BlobDigest, usize>,
    used: HashSet<BlobDigest>,
}

/// Keeps a blob from being pruned while it lives.
#[must_use = "the blob can be pruned as soon as this is dropped"]
pub struct BlobLease {
    digest: BlobDigest,
    leases: Leases,
}

impl Leases {
    pub(super) fn hold(&self, digest: &BlobDigest) -> BlobLease {
        *self.state.lock().holders.entry(*digest).or_default() += 1;
        BlobLease { digest: *digest, leases: self.clone() }
    }

    /// Notes a use, written down when somebody asks for it.
    pub(super) fn used(&self, digest: &BlobDigest) {
        self.state.lock().used.insert(*digest);
    }

    pub(super) fn take_used(&self) -> HashSet<BlobDigest> {
        std::mem::take(&mut self.state.lock().used)
    }

    /// Runs `work` while nobody can begin to hold a blob, telling it which are held.
    pub(super) fn while_still<T>(&self, work: impl FnOnce(&dyn Fn(&BlobDigest) -> bool) -> T) -> T {
        let state = self.state.lock();
        work(&|digest| state.holders.contains_key(digest))
    }
}

impl BlobLease {
    pub fn digest(&self) -> BlobDigest {
        self.digest
    }
}

impl Drop for BlobLease {
    fn drop(&mut self) {
        let mut state = self.leases.state.lock();
        if let Some(count) = state.holders.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                state.holders.remove(&self.digest);
            }
        }
    }
}

impl Clone for BlobLease {
    fn clone(&self) -> Self {
        self.leases.hold(&self.digest)
    }
}

impl std::fmt::Debug for BlobLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BlobLease").field(&self.digest).finish()
    }
}
