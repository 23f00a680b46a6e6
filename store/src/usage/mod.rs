//! What takes how much space, and making room.
//!
//! Sizes are counted as `du` counts. A blob counts to the first snapshot it is a form of; blobs of no snapshot
//! (manifests, image configs, layers not unpacked) have records of their own, so that the records
//! together are what the store takes. A file hard-linked into several snapshots counts in each by its share
//! ([`crate::Active::shares_files_with`]).

mod filter;
mod prune;
mod space;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::error::Result;
use crate::refs::RecordType;
use crate::refs::table::{self, Row};
use crate::snapshot::SnapshotId;
use crate::store::Store;
pub use filter::Filter;
pub use prune::PruneOptions;

/// One line of `du`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Of a snapshot, or the digest of a blob that belongs to none.
    pub id: String,
    pub parents: Vec<SnapshotId>,
    pub mutable: bool,
    pub in_use: bool,
    /// Whether something outside the store uses it too; nothing does so far.
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
        records.extend(self.unnamed_blobs()?);
        records.retain(|record| filter.matches(record));
        Ok(records)
    }

    /// All snapshots, with those being written.
    fn survey(&self) -> Result<Vec<Surveyed>> {
        let rows = {
            let mut live = self.inner.live.lock();
            live.save_uses(&self.inner.metadata)?;
            let committed = self.inner.metadata.with(table::all)?.into_iter().map(|row| {
                let in_use = live.is_used(&row.id);
                Known { in_use, changing: in_use && row.mutable, row }
            });
            let active = live.actives().map(|row| {
                let row = Row { mutable: true, ..row.clone() };
                Known { in_use: true, changing: true, row }
            });
            committed.chain(active).collect::<Vec<_>>()
        };
        let sizes = self.sizes(&rows)?;
        let mut blobs = self.inner.metadata.with(blob_sizes)?;
        let surveyed = rows.into_iter().zip(sizes).map(|(known, size)| {
            let id = known.row.id;
            let size = size + blobs.remove(&id).unwrap_or(0);
            Surveyed { id, record: record(known, size) }
        });
        Ok(surveyed.collect())
    }

    /// The size of each; those unknown are measured, and kept if they cannot change any more.
    fn sizes(&self, rows: &[Known]) -> Result<Vec<u64>> {
        let unknown: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].row.size.is_none()).collect();
        if !unknown.is_empty() {
            // What is thrown away may still have names for files of what is not.
            self.inner.housekeeper.empty_bin_now()?;
        }
        let measured = Mutex::new(HashMap::with_capacity(unknown.len()));
        in_parallel(&unknown, |at| {
            let size = match self.inner.snapshotter.usage(&rows[*at].row.id) {
                Ok(usage) => usage.bytes,
                // Dropped or pruned meanwhile.
                Err(error) if error.is_not_found() => 0,
                Err(error) => return Err(error),
            };
            measured.lock().insert(*at, size);
            Ok(())
        })?;
        let measured = measured.into_inner();
        self.keep_sizes(rows, &measured)?;
        let size = |(at, known): (usize, &Known)| known.row.size.or_else(|| measured.get(&at).copied());
        Ok(rows.iter().enumerate().map(|one| size(one).unwrap_or(0)).collect())
    }

    fn keep_sizes(&self, rows: &[Known], measured: &HashMap<usize, u64>) -> Result<()> {
        let mut final_sizes = measured.iter().filter(|(at, _)| !rows[**at].changing).peekable();
        if final_sizes.peek().is_none() {
            return Ok(());
        }
        self.inner
            .metadata
            .with(|db| final_sizes.try_for_each(|(at, size)| table::set_size(db, &rows[*at].row.id, *size)))
    }

    fn unnamed_blobs(&self) -> Result<Vec<UsageRecord>> {
        Ok(self.blobs().unnamed()?.iter().map(prune::blob_record).collect())
    }
}

/// A row and what this process does with it.
struct Known {
    row: Row,
    in_use: bool,
    /// Being written, so its size is of this moment.
    changing: bool,
}

/// A record with what it is of.
struct Surveyed {
    id: SnapshotId,
    record: UsageRecord,
}

fn record(known: Known, size: u64) -> UsageRecord {
    let Known { row, in_use, .. } = known;
    UsageRecord {
        id: row.id.to_string(),
        parents: row.parent.into_iter().collect(),
        mutable: row.mutable,
        in_use,
        shared: false,
        size,
        created: crate::store::time(row.created),
        last_used: row.last_used.map(crate::store::time),
        usage_count: u64::try_from(row.usage_count).unwrap_or(0),
        description: row.description,
        record_type: row.record_type,
    }
}

/// Bytes of blobs by the snapshot they count to.
fn blob_sizes(db: &rusqlite::Connection) -> rusqlite::Result<HashMap<SnapshotId, u64>> {
    let mut sizes = HashMap::new();
    let mut statement = db.prepare_cached(
        "SELECT min(layer.snapshot), blob.size FROM layer JOIN blob ON blob.digest = layer.digest
         GROUP BY layer.digest",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // Whole blocks, as on the disk.
        *sizes.entry(row.get(0)?).or_default() += row.get::<_, u64>(1)?.next_multiple_of(4096);
    }
    Ok(sizes)
}

/// Runs `work` on all of `items` on all cores; the first error ends it.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
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
