//! What is here right now: every snapshot, and every blob that belongs to none, with its size.
//!
//! Rows are read in pages, so that a store of a hundred thousand keeps nobody waiting. What changes meanwhile
//! may be missing, or be told although it is gone: a listing is of a moment that has passed when it is read, and
//! who removes something looks again, under the lock.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use rusqlite::Connection;
use slipway_model::BlobDigest;

use super::{UsageRecord, in_parallel};
use crate::blob::Unnamed;
use crate::error::Result;
use crate::refs::table::{self, Row};
use crate::refs::{Live, RecordType};
use crate::snapshot::SnapshotId;
use crate::store::Store;

/// Rows that are read while everybody else waits.
const PAGE: usize = 4096;
/// What blobs are rounded up to: blocks, as on the disk.
const BLOCK: u64 = 4096;

/// A record with what it is of.
#[derive(Clone, Debug)]
pub(super) struct Surveyed {
    pub(super) subject: Subject,
    pub(super) record: UsageRecord,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Snapshot(SnapshotId),
    /// Of no snapshot.
    Blob(BlobDigest),
}

/// A row and what this process does with it.
struct Known {
    row: Row,
    in_use: bool,
    /// Being written, so its size is of this moment.
    changing: bool,
}

impl Store {
    /// Everything, oldest first. Measures what has not been measured yet, on all cores.
    pub(super) fn survey(&self) -> Result<Vec<Surveyed>> {
        let known = self.snapshots()?;
        let sizes = self.sizes(&known)?;
        let mut blobs = self.inner.metadata.with(blob_sizes)?;
        let shared = self.shared_snapshots(&known)?;
        let snapshots = known.into_iter().zip(sizes).map(|(known, size)| {
            let id = known.row.id;
            let size = size + blobs.remove(&id).unwrap_or(0);
            Surveyed {
                subject: Subject::Snapshot(id),
                record: snapshot_record(known, size, shared.contains(&id)),
            }
        });
        let mut found: Vec<_> = snapshots.collect();
        found.extend(self.blobs().unnamed()?.iter().map(|blob| Surveyed {
            subject: Subject::Blob(blob.digest),
            record: blob_record(blob, self.inner.shares.holds(&blob.digest)),
        }));
        found.sort_by(|one, other| {
            (one.record.created, &one.record.id).cmp(&(other.record.created, &other.record.id))
        });
        Ok(found)
    }

    /// The bytes of all records together, without making them: a sum over the rows, and measuring what is new.
    pub(super) fn total(&self) -> Result<u64> {
        let new: Vec<Known> = {
            let live = self.inner.live.lock();
            let unmeasured = self.inner.metadata.with(table::unmeasured)?;
            let committed = unmeasured.into_iter().map(|row| Known::committed(row, &live));
            committed.chain(live.actives().map(Known::active)).collect()
        };
        let sizes = self.sizes(&new)?;
        // The others have their size in their row by now.
        let changing: u64 =
            new.iter().zip(sizes).filter(|(known, _)| known.changing).map(|(_, size)| size).sum();
        Ok(changing + self.inner.metadata.with(measured)?)
    }

    fn snapshots(&self) -> Result<Vec<Known>> {
        let mut known: HashMap<SnapshotId, Known> = {
            self.save_uses()?;
            let live = self.inner.live.lock();
            live.actives().map(|row| (row.id, Known::active(row))).collect()
        };
        let mut last = None;
        loop {
            let live = self.inner.live.lock();
            let page = self.inner.metadata.with(|db| table::page(db, last.as_ref(), PAGE))?;
            let Some(row) = page.last() else { break };
            last = Some(row.id);
            // One that was being written a moment ago is told as committed.
            known.extend(page.into_iter().map(|row| (row.id, Known::committed(row, &live))));
        }
        Ok(known.into_values().collect())
    }

    /// The size of each; those unknown are measured, and kept if they cannot change any more.
    fn sizes(&self, known: &[Known]) -> Result<Vec<u64>> {
        let unknown: Vec<usize> = (0..known.len()).filter(|at| known[*at].row.size.is_none()).collect();
        if !unknown.is_empty() {
            // What is thrown away may still have names for files of what is not.
            self.inner.housekeeper.empty_bin_now()?;
        }
        let links_gone = || self.inner.links_gone.load(Ordering::SeqCst);
        let before = links_gone();
        let measured = Mutex::new(HashMap::with_capacity(unknown.len()));
        in_parallel(&unknown, |at| {
            let size = match self.inner.snapshotter.usage(&known[*at].row.id) {
                Ok(usage) => usage.bytes,
                // Dropped or pruned meanwhile.
                Err(error) if error.is_not_found() => 0,
                Err(error) => return Err(error),
            };
            measured.lock().insert(*at, size);
            Ok(())
        })?;
        let measured = measured.into_inner();
        if links_gone() == before {
            self.keep_sizes(known, &measured)?;
        }
        let size = |(at, known): (usize, &Known)| known.row.size.or_else(|| measured.get(&at).copied());
        Ok(known.iter().enumerate().map(|one| size(one).unwrap_or(0)).collect())
    }

    fn keep_sizes(&self, known: &[Known], measured: &HashMap<usize, u64>) -> Result<()> {
        let mut final_sizes = measured.iter().filter(|(at, _)| !known[**at].changing).peekable();
        if final_sizes.peek().is_none() {
            return Ok(());
        }
        self.inner
            .metadata
            .with(|db| final_sizes.try_for_each(|(at, size)| table::set_size(db, &known[*at].row.id, *size)))
    }

    /// Snapshots that are layers of an image that is kept by name, with all they stand on.
    fn shared_snapshots(&self, known: &[Known]) -> Result<HashSet<SnapshotId>> {
        let digests = self.inner.shares.digests();
        if digests.is_empty() {
            return Ok(HashSet::new());
        }
        let parents: HashMap<SnapshotId, Option<SnapshotId>> =
            known.iter().map(|known| (known.row.id, known.row.parent)).collect();
        let mut shared = HashSet::new();
        for digest in &digests {
            for id in self.inner.metadata.with(|db| table::of_blob(db, digest))? {
                let mut next = Some(id);
                while let Some(id) = next.filter(|id| shared.insert(*id)) {
                    next = parents.get(&id).copied().flatten();
                }
            }
        }
        Ok(shared)
    }
}

impl Known {
    fn committed(row: Row, live: &Live) -> Self {
        let in_use = live.is_used(&row.id);
        Self { in_use, changing: in_use && row.mutable, row }
    }

    fn active(row: &Row) -> Self {
        Self { in_use: true, changing: true, row: Row { mutable: true, ..row.clone() } }
    }
}

fn snapshot_record(known: Known, size: u64, shared: bool) -> UsageRecord {
    let Known { row, in_use, .. } = known;
    UsageRecord {
        id: row.id.to_string(),
        parents: row.parent.into_iter().collect(),
        mutable: row.mutable,
        in_use,
        shared,
        size,
        created: crate::store::time(row.created),
        last_used: row.last_used.map(crate::store::time),
        usage_count: u64::try_from(row.usage_count).unwrap_or(0),
        description: row.description,
        record_type: row.record_type,
    }
}

fn blob_record(blob: &Unnamed, shared: bool) -> UsageRecord {
    UsageRecord {
        id: blob.digest.to_string(),
        parents: Vec::new(),
        mutable: false,
        // A name is no use: it goes with the layers.
        in_use: blob.held && !shared,
        shared,
        size: blob.size.next_multiple_of(BLOCK),
        created: crate::store::time(blob.created),
        last_used: Some(crate::store::time(blob.last_used)),
        usage_count: 1,
        description: "blob of no snapshot".into(),
        record_type: RecordType::Internal,
    }
}

/// Bytes of blobs by the snapshot they count to: the first of those they belong to.
fn blob_sizes(db: &Connection) -> rusqlite::Result<HashMap<SnapshotId, u64>> {
    let mut sizes = HashMap::new();
    let mut statement = db.prepare_cached(
        "SELECT min(owner.snapshot), blob.size FROM
             (SELECT snapshot, digest FROM layer UNION ALL SELECT snapshot, digest FROM attached) AS owner
         JOIN blob ON blob.digest = owner.digest GROUP BY owner.digest",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        *sizes.entry(row.get(0)?).or_default() += row.get::<_, u64>(1)?.next_multiple_of(BLOCK);
    }
    Ok(sizes)
}

/// The known sizes of snapshots, and all blobs.
fn measured(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached(
        "SELECT (SELECT coalesce(sum(size), 0) FROM snapshot)
              + (SELECT coalesce(sum((size + ?1 - 1) / ?1 * ?1), 0) FROM blob)",
    )?
    .query_row([BLOCK], |row| row.get(0))
}
