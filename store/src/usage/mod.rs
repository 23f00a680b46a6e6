//! What takes how much space, and making room.
//!
//! Sizes are counted as `du` counts. A blob counts to the first snapshot it is a form of; blobs of no snapshot
//! (manifests, image configs, layers not unpacked) have records of their own, so that the records
//! together are what the store holds. A file hard-linked into several snapshots counts in each by its share
//! ([`crate::Active::shares_files_with`]).
//!
//! | file | holds |
//! |---|---|
//! | `survey` | what is here, and how large it is |
//! | `filter` | which records somebody wants |
//! | `space` | how many bytes may stay |
//! | `plan` | which records go, and in which order |
//! | `prune` | what may go, and how it goes |
//! | `sweep` | files without rows |
//! | `shared` | what images kept by name consist of |
//! | `overhead` | what is in the root and in no record |

mod filter;
mod overhead;
mod plan;
mod prune;
mod shared;
mod space;
mod survey;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use slipway_model::BlobDigest;

use crate::error::Result;
use crate::refs::RecordType;
use crate::snapshot::SnapshotId;
use crate::store::Store;
pub use filter::Filter;
pub use prune::PruneOptions;
pub use shared::SharedBlobs;
pub(crate) use shared::Shares;

/// One line of `du`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Of a snapshot, or the digest of a blob that belongs to none.
    pub id: String,
    pub parents: Vec<SnapshotId>,
    pub mutable: bool,
    pub in_use: bool,
    /// Whether it is a layer of an image that is kept by name, or stands below one.
    pub shared: bool,
    /// Bytes on the disk.
    pub size: u64,
    pub created: SystemTime,
    pub last_used: Option<SystemTime>,
    pub usage_count: u64,
    pub description: String,
    pub record_type: RecordType,
}

impl Store {
    /// What is here, oldest first. Each of `filters` lets records in (see [`Filter`]); none lets all in.
    ///
    /// Measures what has not been measured yet, on all cores.
    pub fn usage(&self, filters: &[String]) -> Result<Vec<UsageRecord>> {
        let filter = Filter::parse_all(filters)?;
        let mut records: Vec<_> = self.survey()?.into_iter().map(|found| found.record).collect();
        records.retain(|record| filter.matches(record));
        Ok(records)
    }

    /// Tells `digests`, of which an image consists that is kept by name, as shared while the answer lives. They
    /// are not kept by this; see [`crate::blob::Blobs::hold`].
    pub fn share_blobs(&self, digests: Vec<BlobDigest>) -> SharedBlobs {
        self.inner.shares.share(digests)
    }
}

/// Runs `work` on all of `items` on all cores; the first error ends it.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let threads = crate::cores().min(items.len());
    if threads <= 1 {
        return items.iter().try_for_each(work);
    }
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(item) {
                        failed.lock().get_or_insert(error);
                        next.store(items.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}
