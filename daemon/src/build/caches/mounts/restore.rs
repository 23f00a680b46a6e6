//! New mounts, filled from imported caches.
//!
//! The first cache that has contents for a mount is the one. Only the packs of that mount are fetched, several at a
//! time, verified while they arrive; those that are here already are not.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use rustix::fs::{Mode, fchmod, fchown};
use rustix::process::{Gid, Uid};
use slipway_cache::mounts::index::PackEntry;
use slipway_cache::mounts::stream::ChunkStream;
use slipway_cache::mounts::{Index, SavedMount};
use slipway_solver::with_causes;
use slipway_store::layer::contents;
use slipway_store::{BlobLease, Ref, Seed, Store};
use slipway_worker::source::image::Origin;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;

use super::super::import::Imported;
use super::digest_of;
use crate::build::journal::Journal;

/// Packs on their way at a time.
const AT_ONCE: usize = 4;
const PIECE: usize = 1 << 20;

pub(super) struct Restore {
    pub(super) store: Store,
    pub(super) journal: Arc<Journal>,
    pub(super) imports: Vec<Arc<Imported>>,
    pub(super) id: String,
    pub(super) base: Option<Ref>,
    pub(super) runtime: Handle,
}

impl Seed for Restore {
    fn fill(&self, directory: &Path) -> slipway_store::Result<bool> {
        let base = self.base.as_ref().map(digest_of).transpose();
        let failed = |reason: String| {
            slipway_store::Error::io("restore a cache mount into", directory, io::Error::other(reason))
        };
        let base = base.map_err(failed)?;
        for import in &self.imports {
            let index = match self.runtime.block_on(import.saved_mounts()) {
                Ok(index) => index,
                Err(reason) => {
                    tracing::warn!(reason, "the cache mounts of a cache cannot be read");
                    continue;
                }
            };
            let Some(mount) = index.find(&self.id, base.as_ref()) else { continue };
            let step = Arc::new(self.journal.step(&format!("restoring cache mount {}", self.id)));
            return match self.restore(&import.origin, &index, mount, directory) {
                Ok(()) => {
                    step.done();
                    Ok(true)
                }
                Err(reason) => {
                    step.warn(format!("the cache mount {} begins empty: {reason}", self.id));
                    step.fail(&reason);
                    Err(failed(reason))
                }
            };
        }
        Ok(false)
    }
}

impl Restore {
    fn restore(
        &self,
        origin: &Arc<dyn Origin>,
        index: &Index,
        mount: &SavedMount,
        directory: &Path,
    ) -> Result<(), String> {
        let _leases = self.runtime.block_on(self.fetch(origin, index, mount))?;
        let told = |error: io::Error| with_causes(&error);
        let opened = File::open(directory).map_err(told)?;
        let mut stream = ChunkStream::new(&self.store, index, mount).map_err(told)?;
        contents::read(&mut stream, opened.as_fd()).map_err(|error| with_causes(&error))?;
        let (uid, gid) = (Uid::from_raw(mount.root.uid), Gid::from_raw(mount.root.gid));
        fchown(&opened, Some(uid), Some(gid)).map_err(|error| told(error.into()))?;
        fchmod(&opened, Mode::from_raw_mode(mount.root.mode & 0o7777)).map_err(|error| told(error.into()))
    }

    /// The packs that `mount` needs, held. This thread may block.
    async fn fetch(
        &self,
        origin: &Arc<dyn Origin>,
        index: &Index,
        mount: &SavedMount,
    ) -> Result<Vec<BlobLease>, String> {
        let mut needed: Vec<usize> = mount.runs.iter().map(|(pack, ..)| *pack).collect();
        needed.sort_unstable();
        needed.dedup();
        let fetching = needed.into_iter().map(|pack| self.fetch_pack(origin, &index.packs[pack]));
        stream::iter(fetching).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn fetch_pack(&self, origin: &Arc<dyn Origin>, pack: &PackEntry) -> Result<BlobLease, String> {
        let blobs = self.store.blobs();
        let lease = blobs.hold(&pack.digest);
        if blobs.open_whole(&pack.digest).map_err(|error| with_causes(&error))?.is_some() {
            return Ok(lease);
        }
        let ingest = blobs.ingest(Some((pack.digest, Some(pack.size()))));
        let mut ingest = ingest.map_err(|error| with_causes(&error))?;
        let mut reader = origin.open(&pack.descriptor()).await.map_err(|error| with_causes(&error))?;
        let mut piece = vec![0; PIECE];
        loop {
            let length = reader.read(&mut piece).await.map_err(|error| with_causes(&error))?;
            if length == 0 {
                break;
            }
            ingest.write_all(&piece[..length]).map_err(|error| with_causes(&error))?;
        }
        ingest.commit().map(|stored| stored.lease).map_err(|error| with_causes(&error))
    }
}
