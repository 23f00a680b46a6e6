//! Making room: which snapshots go, in which order, and how they go.
//!
//! Nothing goes that somebody uses, or that another snapshot stands on. Without limits all that matches goes,
//! leaf by leaf. With limits the least valuable leaf goes first, until enough is free: value is the
//! sum of two ranks among all candidates, by last use and by number of uses, so that neither one old
//! favourite nor one recent stray decides alone.
//!
//! What goes, goes in batches: rows (while nobody can begin to use them), fsync, hooks, files. A crash in
//! between leaves files without rows, which the next open removes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, SystemTime};

use super::{Filter, Surveyed, UsageRecord, in_parallel, space};
use crate::blob::Unnamed;
use crate::error::{At as _, Result};
use crate::fault::{self, Point};
use crate::refs::{RecordType, table};
use crate::snapshot::SnapshotId;
use crate::store::Store;

/// Rows that go in one transaction.
const BATCH: usize = 512;
/// Without `all`, a blob that belongs to no snapshot stays this long after its last use.
const UNNAMED_BLOB: Duration = Duration::from_secs(3600);

/// What may go. Zero means that a limit is not given.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// Also internal and frontend snapshots.
    pub all: bool,
    /// What was used within this time stays.
    pub keep_duration: Duration,
    /// Bytes that may always stay.
    pub reserved_space: u64,
    /// Bytes that may stay at most.
    pub max_used_space: u64,
    /// Bytes to be free on the filesystem.
    pub min_free_space: u64,
    /// As for [`Store::usage`].
    pub filters: Vec<String>,
}

impl Store {
    /// Removes what `options` allow; answers with what went. Frees the disk before it returns.
    pub fn prune(&self, options: &PruneOptions) -> Result<Vec<UsageRecord>> {
        let filter = Filter::parse_all(&options.filters)?;
        let _one_at_a_time = self.inner.pruning.lock();
        let _space_to_work = self.inner.reserve.give_up_if_needed();
        // Others may have lost writes to a full disk: no reason not to make room, nor to stop half-way.
        if let Err(error) = self.inner.metadata.flush() {
            tracing::warn!(%error, "pruning although metadata was lost");
        }
        self.sweep()?;
        let mut removed = self.prune_blobs(options, &filter)?;
        loop {
            let survey = self.survey()?;
            let snapshots: u64 = survey.iter().map(|found| found.record.size).sum();
            let blobs: u64 = self.unnamed_blobs()?.iter().map(|blob| blob.size).sum();
            let total = snapshots + blobs;
            let free = if options.min_free_space > 0 { space::free(self.root())? } else { 0 };
            let limit = space::limit(options, total, free);
            let now = crate::store::time(self.inner.clock.now());
            let plan = Plan::new(survey, |record| may_go(record, options, &filter, now));
            let chosen = plan.choose(total, limit);
            let before = removed.len();
            for batch in chosen.chunks(BATCH) {
                let gone = self.remove_batch(batch)?;
                removed.extend(gone.into_iter().map(|found| found.record.clone()));
            }
            // Some may have come into use meanwhile, and others have to go in their place.
            if removed.len() == before || limit.is_none() {
                return Ok(removed);
            }
        }
    }

    fn prune_blobs(&self, options: &PruneOptions, filter: &Filter) -> Result<Vec<UsageRecord>> {
        if !filter.is_empty() {
            return Ok(Vec::new());
        }
        let total: u64 = self.usage(&[])?.iter().map(|record| record.size).sum();
        let free = if options.min_free_space > 0 { space::free(self.root())? } else { 0 };
        if space::limit(options, total, free).is_some_and(|limit| total <= limit) {
            return Ok(Vec::new());
        }
        let least = if options.all { Duration::ZERO } else { UNNAMED_BLOB };
        let age = i64::try_from(options.keep_duration.max(least).as_nanos()).unwrap_or(i64::MAX);
        // A blob used at this very moment may go when nobody holds it.
        let before = self.inner.clock.now().saturating_sub(age).saturating_add(1);
        Ok(self.blobs().prune_unnamed(before)?.iter().map(blob_record).collect())
    }

    /// Removes those of `batch` (leaves first) that still nobody uses, with their blobs and files.
    fn remove_batch<'a>(&self, batch: &[&'a Surveyed]) -> Result<Vec<&'a Surveyed>> {
        let inner = &self.inner;
        let mark = inner.metadata.mark();
        let (gone, blobs) = {
            let live = inner.live.lock();
            inner.metadata.with(|db| {
                let (mut gone, mut blobs) = (Vec::new(), Vec::new());
                for found in batch {
                    let digests = crate::refs::blobs_of(db, &found.id)?;
                    if !live.is_used(&found.id) && table::delete_leaf(db, &found.id)? {
                        gone.push(*found);
                        blobs.extend(digests);
                    }
                }
                Ok((gone, blobs))
            })?
        };
        if gone.is_empty() {
            return Ok(gone);
        }
        inner.metadata.expecting_leftovers(|| {
            inner.metadata.flush_since(mark)?;
            self.tell_removed(&gone.iter().map(|found| found.id).collect::<Vec<_>>());
            inner.metadata.flush_durable(mark)?;
            fault::pass(Point::PruneFiles).at("remove files in", self.root())?;
            self.blobs().remove_if_unnamed(&blobs)?;
            in_parallel(&gone, |found| inner.snapshotter.remove(&found.id))
        })?;
        Ok(gone)
    }
}

fn may_go(record: &UsageRecord, options: &PruneOptions, filter: &Filter, now: SystemTime) -> bool {
    let special = matches!(record.record_type, RecordType::Internal | RecordType::Frontend);
    let last_used = record.last_used.unwrap_or(record.created);
    let recent = !options.keep_duration.is_zero()
        && now.duration_since(last_used).unwrap_or_default() < options.keep_duration;
    !record.in_use && (options.all || !(special || record.shared)) && !recent && filter.matches(record)
}

/// Snapshots with how many others stand on each, and which may go.
struct Plan {
    found: Vec<Surveyed>,
    parents: Vec<Option<usize>>,
    children: Vec<usize>,
    may_go: Vec<bool>,
}

impl Plan {
    fn new(found: Vec<Surveyed>, may_go: impl Fn(&UsageRecord) -> bool) -> Self {
        let index: HashMap<SnapshotId, usize> =
            found.iter().enumerate().map(|(at, one)| (one.id, at)).collect();
        let parents: Vec<_> = found
            .iter()
            .map(|one| one.record.parents.first().and_then(|parent| index.get(parent)).copied())
            .collect();
        let mut children = vec![0; found.len()];
        for parent in parents.iter().flatten() {
            children[*parent] += 1;
        }
        let may_go = found.iter().map(|one| may_go(&one.record)).collect();
        Self { found, parents, children, may_go }
    }

    /// What goes, in an order in which each is a leaf when its turn comes.
    fn choose(&self, mut total: u64, limit: Option<u64>) -> Vec<&Surveyed> {
        let values = self.values();
        let mut children = self.children.clone();
        let mut leaves: BinaryHeap<_> = (0..self.found.len())
            .filter(|at| self.may_go[*at] && children[*at] == 0)
            .map(|at| Reverse((values[at], at)))
            .collect();
        let mut chosen = Vec::new();
        while limit.is_none_or(|limit| total > limit) {
            let Some(Reverse((_, at))) = leaves.pop() else { break };
            total = total.saturating_sub(self.found[at].record.size);
            chosen.push(&self.found[at]);
            if let Some(parent) = self.parents[at] {
                children[parent] -= 1;
                if children[parent] == 0 && self.may_go[parent] {
                    leaves.push(Reverse((values[parent], parent)));
                }
            }
        }
        chosen
    }

    /// The value of each: the sum of its ranks, each scaled to 2^20.
    fn values(&self) -> Vec<u64> {
        let by_time = ranks(self.found.iter().map(|one| one.record.last_used));
        let by_count = ranks(self.found.iter().map(|one| one.record.usage_count));
        by_time.into_iter().zip(by_count).map(|(time, count)| time + count).collect()
    }
}

/// The rank of each key among the different ones, scaled to 2^20.
fn ranks<K: Ord + Copy>(keys: impl Iterator<Item = K>) -> Vec<u64> {
    let keys: Vec<K> = keys.collect();
    let mut different = keys.clone();
    different.sort_unstable();
    different.dedup();
    let scale = (1_u64 << 20) / (different.len() as u64).max(1);
    keys.iter().map(|key| different.partition_point(|other| other < key) as u64 * scale).collect()
}

pub(super) fn blob_record(blob: &Unnamed) -> UsageRecord {
    UsageRecord {
        id: blob.digest.to_string(),
        parents: Vec::new(),
        mutable: false,
        in_use: blob.held,
        shared: false,
        size: blob.size.next_multiple_of(4096),
        created: crate::store::time(blob.created),
        last_used: Some(crate::store::time(blob.last_used)),
        usage_count: 1,
        description: "blob of no snapshot".into(),
        record_type: RecordType::Internal,
    }
}
