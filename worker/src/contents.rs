//! Which tree a content digest was taken of, for as long as that tree is here: what has a digest can then
//! be listed, by those who want to say what changed.
//!
//! Nothing is kept alive by this, and nothing is computed until somebody asks.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use slipway_model::Digest;
use slipway_solver::{ContentDigest, KeyId};
use slipway_store::content_hash::{ContentCache, Manifest, ManifestEntry, Part, Selector};
use slipway_store::{Mounted, SnapshotId};

use crate::source::local::Context;
use crate::{Result, Value, Worker};

/// Contents that are remembered; past it, the oldest go.
const MOST: usize = 4096;

#[derive(Default)]
pub(crate) struct Contents(Mutex<Known>);

#[derive(Default)]
struct Known {
    by_key: HashMap<KeyId, Looked>,
    order: VecDeque<KeyId>,
}

#[derive(Clone)]
struct Looked {
    tree: Tree,
    selectors: Arc<Vec<Selector>>,
}

#[derive(Clone)]
enum Tree {
    Scratch,
    Snapshot(SnapshotId),
    Context(Weak<Context>),
}

/// The files behind a content key, and the tree they are in.
pub struct Listing {
    pub manifest: Manifest,
    root: Option<Mounted>,
    selectors: Arc<Vec<Selector>>,
}

impl Contents {
    pub(crate) fn note(&self, digest: Digest, value: &Value, selectors: &Arc<Vec<Selector>>) {
        let tree = match value.real() {
            Ok(Value::Scratch) => Tree::Scratch,
            Ok(Value::Snapshot(snapshot)) => Tree::Snapshot(snapshot.id()),
            Ok(Value::Context(context)) => Tree::Context(Arc::downgrade(context)),
            Ok(Value::Lazy(_)) | Err(_) => return,
        };
        let key = KeyId::content(ContentDigest(digest));
        let mut known = self.0.lock();
        // The latest tree is the one that lives longest.
        if known.by_key.insert(key, Looked { tree, selectors: selectors.clone() }).is_none() {
            known.order.push_back(key);
        }
        while known.order.len() > MOST {
            if let Some(oldest) = known.order.pop_front() {
                known.by_key.remove(&oldest);
            }
        }
    }

    fn get(&self, key: &KeyId) -> Option<Looked> {
        self.0.lock().by_key.get(key).cloned()
    }
}

impl Worker {
    /// What has the content key `key`, at most `limit` entries; `None` if its tree is gone. Blocks.
    pub fn list_content(&self, key: &KeyId, limit: usize) -> Result<Option<Listing>> {
        let Some(Looked { tree, selectors }) = self.contents.get(key) else { return Ok(None) };
        let value = match tree {
            Tree::Scratch => {
                return Ok(Some(Listing { manifest: Manifest::default(), root: None, selectors }));
            }
            Tree::Snapshot(id) => self.store.get(&id)?.map(Value::Snapshot),
            Tree::Context(context) => context.upgrade().map(Value::Context),
        };
        let Some(value) = value else { return Ok(None) };
        let Some(root) = value.mount()? else { return Ok(None) };
        let manifest = match &value {
            Value::Scratch | Value::Lazy(_) => Manifest::default(),
            Value::Snapshot(snapshot) => self.digests.manifest(snapshot, root.root(), &selectors, limit)?,
            Value::Context(context) => context.manifest(root.root(), &selectors, limit)?,
        };
        Ok(Some(Listing { manifest, root: Some(root), selectors }))
    }
}

impl Listing {
    /// What differs between `old` and `new`, which is an entry of this list.
    pub fn compare(&self, old: &ManifestEntry, new: &ManifestEntry) -> Vec<Part> {
        let Some(root) = &self.root else { return Vec::new() };
        let base = self.selectors.get(new.selector).map(Selector::base).unwrap_or_default();
        let path = OsString::from_vec([base.as_slice(), &new.path].concat());
        ContentCache::compare(root.root(), Path::new(&path), old, new)
    }
}
