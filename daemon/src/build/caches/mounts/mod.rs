//! Cache mounts that travel with a build's caches: [`slipway_cache::mounts`] at work.
//!
//! | file | holds |
//! |---|---|
//! | [`restore`] | new mounts filled from imported caches, before their first step sees them |
//! | [`save`] | the mounts of a build on their way into an exported cache |
//!
//! Which mounts a build has is told by its graphs, whether the steps ran or not: a build whose steps all hit still
//! hands on what it was given. A mount that began with something (`from=…`, or an owner) is told from others of its
//! id by the content digest of that.

mod restore;
mod save;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use slipway_model::Digest;
use slipway_store::content_hash::checksum;
use slipway_store::{Ref, Seed, Sharing, Store};
use slipway_worker::ops::TravellingMounts;
use tokio::runtime::Handle;

use super::import::Imports;
use crate::build::journal::Journal;
pub(super) use save::save;

/// Which mounts an export takes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// By the ids that the Dockerfile gives them.
    These(Vec<String>),
}

impl Wanted {
    /// `id` is that of a graph: a namespace comes before what the Dockerfile says.
    fn takes(&self, id: &str) -> bool {
        let own = id.split_once('/').map_or(id, |(_, own)| own);
        match self {
            Self::All => true,
            Self::These(wanted) => wanted.iter().any(|wanted| wanted == id || wanted == own),
        }
    }
}

/// The cache mounts of one build.
pub(crate) struct Mounts {
    store: Store,
    imports: Arc<Imports>,
    journal: Arc<Journal>,
    used: Mutex<BTreeMap<String, Sharing>>,
}

impl Mounts {
    pub(crate) fn new(store: Store, imports: Arc<Imports>, journal: Arc<Journal>) -> Self {
        Self { store, imports, journal, used: Mutex::default() }
    }

    fn used(&self, wanted: &Wanted) -> Vec<(String, Sharing)> {
        let used = self.used.lock();
        used.iter().filter(|(id, _)| wanted.takes(id)).map(|(id, sharing)| (id.clone(), *sharing)).collect()
    }
}

#[async_trait]
impl TravellingMounts for Mounts {
    fn uses(&self, id: &str, sharing: Sharing) {
        self.used.lock().insert(id.to_owned(), sharing);
    }

    async fn seed(&self, id: &str, base: Option<&Ref>) -> Option<Arc<dyn Seed>> {
        let imports = self.imports.with_mounts();
        (!imports.is_empty()).then(|| {
            Arc::new(restore::Restore {
                store: self.store.clone(),
                journal: self.journal.clone(),
                imports,
                id: id.to_owned(),
                base: base.cloned(),
                runtime: Handle::current(),
            }) as Arc<dyn Seed>
        })
    }
}

/// What tells apart mounts of one id that began with different things. Blocks.
fn digest_of(base: &Ref) -> Result<Digest, String> {
    let mounted = base.mount().map_err(|error| error.to_string())?;
    checksum(mounted.root(), &[]).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_dockerfile() {
        let these = Wanted::These(vec!["npm".into(), "/root/.cache".into()]);
        for (id, taken) in
            [("/npm", true), ("team/npm", true), ("npm", true), ("//root/.cache", true), ("/go", false)]
        {
            assert_eq!(these.takes(id), taken, "{id}");
        }
        assert!(Wanted::All.takes("/go"));
    }
}
