//! Making room: what may go, and how it goes.
//!
//! Nothing goes that somebody uses, or that another snapshot stands on. Which of the others go first is told in
//! [`super::plan`]. What goes, goes in batches: rows (while nobody can begin to use them), fsync, hooks, files. A
//! crash in between leaves files without rows, which the next open removes.
//!
//! | | goes without `all` | goes with `all` |
//! |---|---|---|
//! | internal, frontend | no | yes |
//! | layers of images kept by name | only to get below a limit | yes; the names go with them |
//! | manifests and configs of those | no | yes; the names go with them |
//! | other blobs of no snapshot | when not used for an hour | yes |
//! | the rest | yes | yes |
//!
//! A limit takes layers of named images too: else a daemon that names what it builds would fill the disk.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use slipway_model::BlobDigest;

use super::plan::Plan;
use super::survey::{Subject, Surveyed};
use super::{Filter, UsageRecord, in_parallel, space};
use crate::error::{At as _, Result};
use crate::fault::{self, Point};
use crate::refs::{RecordType, table};
use crate::snapshot::SnapshotId;
use crate::store::Store;

/// Records, and bytes, that go in one transaction.
const BATCH: usize = 512;
const BATCH_BYTES: u64 = 1 << 30;
/// Without `all`, a blob that belongs to no snapshot stays this long after its last use.
const UNNAMED_BLOB: Duration = Duration::from_secs(3600);

/// What may go. Zero means that a limit is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
        let mut removed = Vec::new();
        self.prune_to(options, |batch| {
            removed.extend(batch);
            ControlFlow::Continue(())
        })?;
        Ok(removed)
    }

    /// [`prune`](Self::prune) that tells what went as it goes. `told` ends it by breaking; it is also called with
    /// nothing, to be asked.
    pub fn prune_to(
        &self,
        options: &PruneOptions,
        mut told: impl FnMut(Vec<UsageRecord>) -> ControlFlow<()>,
    ) -> Result<()> {
        let filter = Filter::parse_all(&options.filters)?;
        let _one_at_a_time = self.inner.pruning.lock();
        if told(Vec::new()).is_break() {
            return Ok(());
        }
        let _space_to_work = self.inner.reserve.give_up_if_needed();
        // Others may have lost writes to a full disk: no reason not to make room, nor to stop half-way.
        if let Err(error) = self.inner.metadata.flush() {
            tracing::warn!(%error, "pruning although metadata was lost");
        }
        self.sweep()?;
        loop {
            let free = if options.min_free_space > 0 { space::free(self.root())? } else { 0 };
            let limit = |total| space::limit(options, total, free);
            if options.is_limited() {
                let total = self.total()?;
                if limit(total).is_none_or(|limit| total <= limit) {
                    return Ok(());
                }
            }
            let now = crate::store::time(self.inner.clock.now());
            let plan = Plan::new(self.survey()?, |found| may_go(found, options, &filter, now));
            let chosen = plan.choose(limit(plan.total()));
            let mut removed = false;
            for batch in batches(&chosen) {
                let gone = self.remove_batch(batch)?;
                removed |= !gone.is_empty();
                if told(gone.into_iter().map(|found| found.record.clone()).collect()).is_break() {
                    return Ok(());
                }
            }
            // Blobs may belong to no snapshot now. And some may have come into use meanwhile: with a limit,
            // others have to go in their place.
            if !removed {
                return Ok(());
            }
        }
    }

    /// Removes those of `batch` (leaves first) that still nobody uses, with their blobs and files.
    fn remove_batch<'a>(&self, batch: &[&'a Surveyed]) -> Result<Vec<&'a Surveyed>> {
        let inner = &self.inner;
        let mark = inner.metadata.mark();
        let (snapshots, layers) = self.remove_rows(batch)?;
        let of_none = batch.iter().filter_map(|found| match found.subject {
            Subject::Blob(digest) => Some(digest),
            Subject::Snapshot(_) => None,
        });
        let blobs: Vec<_> = layers.iter().copied().chain(of_none).collect();
        let blobs = inner.metadata.expecting_leftovers(|| {
            if !snapshots.is_empty() {
                inner.metadata.flush_since(mark)?;
                self.tell_removed(&snapshots);
            }
            if !blobs.is_empty() {
                self.tell_blobs_removed(&blobs)?;
            }
            inner.metadata.flush_durable(mark)?;
            fault::pass(Point::PruneFiles).at("remove files in", self.root())?;
            let blobs = self.blobs().remove_if_unnamed(&blobs)?;
            in_parallel(&snapshots, |id| inner.snapshotter.remove(id))?;
            inner.snapshotter.collect()?;
            Ok(blobs)
        })?;
        let blobs = blobs.into_iter().map(Subject::Blob);
        let gone: HashSet<_> = snapshots.into_iter().map(Subject::Snapshot).chain(blobs).collect();
        Ok(batch.iter().filter(|found| gone.contains(&found.subject)).copied().collect())
    }

    /// Removes the rows of snapshots; answers with those and the blobs that were forms of them.
    fn remove_rows(&self, batch: &[&Surveyed]) -> Result<(Vec<SnapshotId>, Vec<BlobDigest>)> {
        let live = self.inner.live.lock();
        self.inner.metadata.with(|db| {
            let (mut gone, mut blobs) = (Vec::new(), Vec::new());
            for found in batch {
                let Subject::Snapshot(id) = found.subject else { continue };
                let digests = crate::refs::blobs_of(db, &id)?;
                if !live.is_used(&id) && table::delete_leaf(db, &id)? {
                    gone.push(id);
                    blobs.extend(digests);
                }
            }
            Ok((gone, blobs))
        })
    }
}

impl PruneOptions {
    /// Whether something may stay although it matches.
    pub fn is_limited(&self) -> bool {
        self.reserved_space > 0 || self.max_used_space > 0 || self.min_free_space > 0
    }
}

fn batches<'a, 'b>(mut chosen: &'b [&'a Surveyed]) -> impl Iterator<Item = &'b [&'a Surveyed]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |found: &&&Surveyed| {
            let fits = bytes <= BATCH_BYTES;
            bytes += found.record.size;
            fits
        };
        let length = chosen.iter().take(BATCH).take_while(fits).count();
        let (batch, rest) = chosen.split_at(length);
        chosen = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

fn may_go(found: &Surveyed, options: &PruneOptions, filter: &Filter, now: SystemTime) -> bool {
    let record = &found.record;
    // Manifests and configs are small: to get below a limit, a named image loses its name by its layers alone.
    let goes_with_layers =
        record.shared && matches!(found.subject, Subject::Blob(_)) && (!options.all || options.is_limited());
    if record.in_use || goes_with_layers || !filter.matches(record) {
        return false;
    }
    let unused = now.duration_since(record.last_used.unwrap_or(record.created)).unwrap_or_default();
    let kept = !options.all
        && match (found.subject, record.record_type) {
            (Subject::Blob(_), _) => record.shared || unused < UNNAMED_BLOB,
            (_, RecordType::Internal | RecordType::Frontend) => true,
            _ => record.shared && !options.is_limited(),
        };
    !kept && (options.keep_duration.is_zero() || unused >= options.keep_duration)
}
