//! How a vertex got its result: what an explanation of a build begins with.
//!
//! Nothing of this steers the engine. Most of it is read from the answers that a node remembers
//! anyway; the rest is a [`Course`] beside them, written where a record is loaded and where an
//! execution begins. So a build that nobody asks about pays for two assignments.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Value;
use crate::keys::{KeyId, OpDigest, VertexDigest};
use crate::node::Node;
use crate::phases::Spent;
use crate::records::Record;

/// Failed loads that are remembered of one vertex.
const MOST_REFUSALS: usize = 4;

/// What is known of one vertex of a job.
#[derive(Clone, Debug)]
pub struct Trace {
    pub vertex: VertexDigest,
    /// It runs whatever the caches hold.
    pub forced: bool,
    /// The names its operation gave itself, in the order in which they were asked for.
    pub operations: Vec<OpDigest>,
    /// Whether a later session can ask for the same.
    pub persistent: bool,
    /// What a root turned out to be ([`crate::CacheMap::resolved`]).
    pub resolved: Option<Arc<str>>,
    /// The key of what each input contains, where that was asked.
    pub contents: Vec<Option<KeyId>>,
    /// The keys its outputs are known under, the most telling first.
    pub keys: Vec<KeyId>,
    /// The same by output, of those that were asked for.
    pub outputs: BTreeMap<usize, Vec<KeyId>>,
    pub answer: Answer,
    /// Why records that were found could not be loaded.
    pub refused: Vec<String>,
    /// It has a result.
    pub done: bool,
    pub failed: bool,
}

/// Where a result came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nobody needed it: what depends on it was cached.
    #[default]
    Unasked,
    /// A record was found and led on to others, so it was not loaded.
    Found(Record),
    Loaded(Record),
    /// An equal operation ran, for another vertex or another build, and served this one, too.
    Joined,
    Ran,
}

/// The part of a trace that no answer of a node tells.
#[derive(Default)]
pub(crate) struct Course {
    pub(crate) answer: Answer,
    pub(crate) spent: Spent,
    refused: Vec<String>,
}

impl Course {
    pub(crate) fn refused(&mut self, reason: String) {
        if self.refused.len() < MOST_REFUSALS {
            self.refused.push(reason);
        }
    }
}

impl<V: Value> Node<V> {
    pub(crate) fn trace(&self) -> Trace {
        let maps = self.known_cache_maps();
        let results = self.answers.result.known();
        let lookups = self.answers.lookup.known();
        let found = lookups.iter().flat_map(|lookup| &lookup.records).next();
        let (answer, refused) = {
            let course = self.course.lock();
            (course.answer.clone(), course.refused.clone())
        };
        let done = !results.is_empty();
        let mut keys: Vec<KeyId> = results.into_iter().flat_map(|outcome| outcome.keys).collect();
        if keys.is_empty() {
            keys = lookups.iter().flat_map(|lookup| lookup.keys.clone()).collect();
        }
        if keys.is_empty() {
            keys = self.answers.fast.known().concat();
        }
        Trace {
            vertex: self.vertex.digest,
            forced: self.vertex.ignore_cache,
            operations: maps.iter().map(|map| map.digest).collect(),
            persistent: maps.iter().all(|map| map.persistent),
            resolved: maps.iter().find_map(|map| map.resolved.clone()),
            contents: (0..self.inputs.len())
                .map(|input| self.answers.contents.peek(&input).flatten())
                .collect(),
            keys,
            outputs: self.keys_by_output(),
            answer: match (answer, found) {
                (Answer::Unasked, Some(found)) => Answer::Found(found.record.clone()),
                (answer, _) => answer,
            },
            refused,
            done,
            failed: self.answers.result.any_failed(),
        }
    }

    fn keys_by_output(&self) -> BTreeMap<usize, Vec<KeyId>> {
        let mut outputs: BTreeMap<usize, Vec<KeyId>> = BTreeMap::new();
        let results = self.answers.result.entries().into_iter().map(|(output, done)| (output, done.keys));
        let lookups = self.answers.lookup.entries().into_iter().map(|(output, lookup)| (output, lookup.keys));
        for (output, keys) in results.chain(lookups).chain(self.answers.fast.entries()) {
            let known = outputs.entry(output).or_default();
            known.extend(keys);
        }
        outputs
    }
}
