//! What the registry holds.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use slipway_model::Digest;

use super::{Fault, Logged, Options};

pub(super) struct State {
    pub(super) options: Options,
    pub(super) address: SocketAddr,
    pub(super) storage: SocketAddr,
    pub(super) repositories: Mutex<HashMap<String, Repository>>,
    pub(super) blobs: Mutex<HashMap<Digest, Bytes>>,
    pub(super) uploads: Mutex<HashMap<String, Upload>>,
    /// Token to granted scopes (`repository:NAME:ACTION`, one action each).
    pub(super) tokens: Mutex<HashMap<String, HashSet<String>>>,
    pub(super) faults: Mutex<Vec<Fault>>,
    pub(super) log: Mutex<Vec<Logged>>,
    pub(super) counter: AtomicU64,
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) blobs: HashSet<Digest>,
    /// By tag and by digest.
    pub(super) manifests: HashMap<String, StoredManifest>,
}

#[derive(Clone)]
pub(super) struct StoredManifest {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
}

pub(super) struct Upload {
    pub(super) repository: String,
    pub(super) bytes: Vec<u8>,
}

impl State {
    pub(super) fn new(options: Options, address: SocketAddr, storage: SocketAddr) -> Self {
        Self {
            options,
            address,
            storage,
            repositories: Mutex::default(),
            blobs: Mutex::default(),
            uploads: Mutex::default(),
            tokens: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            counter: AtomicU64::new(0),
        }
    }

    /// A name nobody had before.
    pub(super) fn next(&self, what: &str) -> String {
        format!("{what}-{}", self.counter.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn put_blob(&self, repository: &str, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        self.blobs.lock().insert(digest, bytes);
        self.repositories.lock().entry(repository.to_owned()).or_default().blobs.insert(digest);
        digest
    }

    pub(super) fn holds(&self, repository: &str, digest: &Digest) -> bool {
        self.repositories.lock().get(repository).is_some_and(|r| r.blobs.contains(digest))
    }

    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        if !self.holds(repository, digest) {
            return None;
        }
        self.blobs.lock().get(digest).cloned()
    }

    pub(super) fn put_manifest(
        &self,
        repository: &str,
        name: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Digest {
        let digest = Digest::of(&bytes);
        let stored = StoredManifest { media_type: media_type.to_owned(), digest, bytes };
        let mut repositories = self.repositories.lock();
        let manifests = &mut repositories.entry(repository.to_owned()).or_default().manifests;
        manifests.insert(digest.to_string(), stored.clone());
        manifests.insert(name.to_owned(), stored);
        digest
    }

    pub(super) fn manifest(&self, repository: &str, name: &str) -> Option<StoredManifest> {
        self.repositories.lock().get(repository)?.manifests.get(name).cloned()
    }
}
