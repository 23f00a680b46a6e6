//! Blobs that an image kept by name consists of. Its layers are told as shared.
//!
//! Whoever keeps names says so when the daemon starts and when a name is given; nothing of this is on disk here.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_model::BlobDigest;

/// How many names each blob is kept by.
#[derive(Clone, Default)]
pub(crate) struct Shares(Arc<Mutex<HashMap<BlobDigest, usize>>>);

/// Told as shared while this lives.
#[must_use = "the blobs are told as private as soon as this is dropped"]
pub struct SharedBlobs {
    digests: Vec<BlobDigest>,
    all: Shares,
}

impl Shares {
    pub(crate) fn share(&self, digests: Vec<BlobDigest>) -> SharedBlobs {
        let mut all = self.0.lock();
        for digest in &digests {
            *all.entry(*digest).or_default() += 1;
        }
        drop(all);
        SharedBlobs { digests, all: self.clone() }
    }

    pub(super) fn holds(&self, digest: &BlobDigest) -> bool {
        self.0.lock().contains_key(digest)
    }

    pub(super) fn digests(&self) -> Vec<BlobDigest> {
        self.0.lock().keys().copied().collect()
    }
}

impl Drop for SharedBlobs {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        for digest in &self.digests {
            if let Some(count) = all.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    all.remove(digest);
                }
            }
        }
    }
}
