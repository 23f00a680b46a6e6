//! A lock file, offered to the daemon: what sources may come to, and what they came to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_proto::explain::lock_server::Lock;
use slipway_proto::explain::{
    LockedSource, ReadLockRequest, ReadLockResponse, WriteLockRequest, WriteLockResponse,
};
use tonic::{Request, Response, Status};

/// Values by source.
pub type LockedSources = BTreeMap<String, BTreeSet<String>>;

/// One build's lock.
#[derive(Debug, Default)]
pub struct LockOffer {
    /// What the user calls it.
    pub name: String,
    /// Whether a source may only be what it is locked to.
    pub locked: bool,
    pub sources: LockedSources,
    used: Mutex<Option<LockedSources>>,
}

impl LockOffer {
    pub fn new(name: String, locked: bool, sources: LockedSources) -> Self {
        Self { name, locked, sources, used: Mutex::default() }
    }

    /// What the build has used; `None` if the daemon did not say.
    pub fn used(&self) -> Option<LockedSources> {
        self.used.lock().clone()
    }
}

pub(super) struct Offered(pub Arc<LockOffer>);

#[async_trait::async_trait]
impl Lock for Offered {
    async fn read(&self, _: Request<ReadLockRequest>) -> Result<Response<ReadLockResponse>, Status> {
        let LockOffer { name, locked, sources, .. } = &*self.0;
        let listed = sources.iter().map(|(source, resolved)| LockedSource {
            source: source.clone(),
            resolved: resolved.iter().cloned().collect(),
        });
        let sources = listed.collect();
        Ok(Response::new(ReadLockResponse { name: name.clone(), locked: *locked, sources }))
    }

    async fn write(&self, request: Request<WriteLockRequest>) -> Result<Response<WriteLockResponse>, Status> {
        let sources = request.into_inner().sources.into_iter();
        let used = sources.map(|source| (source.source, source.resolved.into_iter().collect())).collect();
        *self.0.used.lock() = Some(used);
        Ok(Response::new(WriteLockResponse {}))
    }
}
