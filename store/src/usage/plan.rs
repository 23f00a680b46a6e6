//! Which records go, and in which order.
//!
//! A record can go when nobody uses it and nothing stands on it any more. Without a limit all of those go. With
//! one the least valuable goes first, until enough is free: value is the sum of two ranks, by last use and by
//! number of uses, so that neither one old favourite nor one recent stray decides alone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::survey::{Subject, Surveyed};
use crate::snapshot::SnapshotId;

/// Records with how many others stand on each, and which may go.
pub(super) struct Plan {
    found: Vec<Surveyed>,
    parents: Vec<Option<usize>>,
    children: Vec<usize>,
    may_go: Vec<bool>,
}

impl Plan {
    pub(super) fn new(found: Vec<Surveyed>, may_go: impl Fn(&Surveyed) -> bool) -> Self {
        let index: HashMap<SnapshotId, usize> = found
            .iter()
            .enumerate()
            .filter_map(|(at, one)| match one.subject {
                Subject::Snapshot(id) => Some((id, at)),
                Subject::Blob(_) => None,
            })
            .collect();
        let parents: Vec<_> = found
            .iter()
            .map(|one| one.record.parents.first().and_then(|parent| index.get(parent)).copied())
            .collect();
        let mut children = vec![0; found.len()];
        for parent in parents.iter().flatten() {
            children[*parent] += 1;
        }
        let may_go = found.iter().map(may_go).collect();
        Self { found, parents, children, may_go }
    }

    /// The bytes of all records together.
    pub(super) fn total(&self) -> u64 {
        self.found.iter().map(|one| one.record.size).sum()
    }

    /// What goes, in an order in which each is a leaf when its turn comes.
    pub(super) fn choose(&self, limit: Option<u64>) -> Vec<&Surveyed> {
        let mut total = self.total();
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
