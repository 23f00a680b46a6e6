//! What the caches say about one edge.

use std::sync::Arc;

use futures::future::{BoxFuture, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt};

use super::Attempt;
use crate::Value;
use crate::error::Result;
use crate::interest::Held;
use crate::keys::{KeyId, Link, Seen};
use crate::load::Outcome;
use crate::op::{CacheMap, InputRule};
use crate::records::{Candidates, Found, Keys};

/// What the caches said, short of loading anything.
pub(crate) struct Lookup<V> {
    pub(crate) candidates: Candidates,
    /// The keys of this edge that a cache led to; of a root, the names it was asked for.
    pub(crate) keys: Vec<KeyId>,
    pub(crate) records: Vec<Found<V>>,
}

/// How far an input is pushed to find out whether it leads to a cached result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Push {
    /// Stop at the first answer.
    UntilFound,
    /// Collect all answers.
    ToTheEnd,
}

/// Inputs on their way to an answer, and interest in all of them: what a smaller question has set going
/// must not look unwanted while the bigger one is being asked.
#[derive(Default)]
pub(super) struct Probes {
    _under_way: FuturesUnordered<BoxFuture<'static, Result<(usize, Keys)>>>,
    _wanted: Vec<Held>,
}

impl<V: Value> Attempt<V> {
    pub(super) async fn match_definitions(self: Arc<Self>, output: usize) -> Result<Vec<KeyId>> {
        let node = &self.node;
        if node.inputs.is_empty() {
            return Ok(self.look_up_root(output).await?.keys);
        }
        if node.vertex.ignore_cache {
            return Ok(Vec::new());
        }
        let map = self.cache_map(0).await?;
        let mut candidates = Candidates::none(node.inputs.len());
        let asked = node.inputs.iter().map(|input| input.node.fast_keys(input.output));
        for (input, keys) in try_join_all(asked).await?.iter().enumerate() {
            candidates.add(input, self.probe(&map, input, output, &map.inputs[input].see(keys)));
        }
        Ok(candidates.matched())
    }

    /// First only as hard as each input needs; then, if the answers do not meet in one key that has
    /// a record, all of them to the end. What is still under way when the answer is clear is handed
    /// back, not dropped: the caller may go on to want the inputs themselves.
    pub(super) async fn search(self: &Arc<Self>, output: usize) -> Result<(Lookup<V>, Probes)> {
        let inputs = self.node.inputs.len();
        if inputs == 0 {
            return Ok((self.look_up_root(output).await?, Probes::default()));
        }
        let map = self.cache_map(0).await?;
        let mut candidates = Candidates::none(inputs);
        if self.node.vertex.ignore_cache {
            return Ok((self.judge(candidates), Probes::default()));
        }
        let wanted: Vec<Held> = self.node.inputs.iter().map(|input| input.node.interest.hold()).collect();
        for push in [Push::UntilFound, Push::ToTheEnd] {
            let mut under_way: FuturesUnordered<_> =
                (0..inputs).map(|input| self.push_input(&map, input, output, push)).collect();
            while let Some(answer) = under_way.next().await {
                let (input, keys) = answer?;
                candidates.add(input, keys);
                if candidates.is_empty(input) {
                    // No match is possible any more.
                    return Ok((self.judge(candidates), Probes { _under_way: under_way, _wanted: wanted }));
                }
            }
            let found = self.judge(candidates.clone());
            if !found.records.is_empty() {
                return Ok((found, Probes { _under_way: under_way, _wanted: wanted }));
            }
        }
        Ok((self.judge(candidates), Probes { _under_way: FuturesUnordered::new(), _wanted: wanted }))
    }

    /// The answer alone. If it is that nothing is cached, whoever asked may go on to want the result: what is
    /// under way for it goes on for as long as this vertex is wanted at all.
    pub(super) async fn search_only(self: Arc<Self>, output: usize) -> Result<Lookup<V>> {
        let (found, probes) = self.search(output).await?;
        if found.records.is_empty() {
            let ended = self.stop.token.clone();
            self.stop.spawn(async move {
                ended.cancelled().await;
                drop(probes);
            });
        }
        Ok(found)
    }

    /// The keys that one input leads to: by its definition, by its own lookup, by its content.
    fn push_input(
        self: &Arc<Self>,
        map: &Arc<CacheMap<V>>,
        input: usize,
        output: usize,
        push: Push,
    ) -> BoxFuture<'static, Result<(usize, Keys)>> {
        let (this, map) = (self.clone(), map.clone());
        Box::pin(async move {
            let (source, rule) = (&this.node.inputs[input], &map.inputs[input]);
            let enough = |found: &Keys| !found.is_empty() && push == Push::UntilFound;

            let fast = source.node.fast_keys(source.output).await?;
            let mut found = this.probe(&map, input, output, &rule.see(&fast));
            if enough(&found) {
                return Ok((input, found));
            }
            let slow = source.node.lookup(source.output).await?;
            found.extend(this.probe(&map, input, output, &rule.see(&slow.keys)));
            if enough(&found) {
                return Ok((input, found));
            }
            if let Some(content) = this.content_key(&map, input).await? {
                let done = source.node.result(source.output).await?;
                found.extend(this.probe_and_learn(&map, input, output, &rule.see_all(&done, Some(content))));
            }
            Ok((input, found))
        })
    }

    /// Finished inputs may carry keys that no lookup of theirs could know.
    pub(super) async fn search_again(
        &self,
        output: usize,
        found: Lookup<V>,
        inputs: &[Outcome<V>],
    ) -> Result<Lookup<V>> {
        if self.node.vertex.ignore_cache || inputs.is_empty() {
            return Ok(found);
        }
        let map = self.cache_map(0).await?;
        let mut candidates = found.candidates;
        for (input, done) in inputs.iter().enumerate() {
            let content = self.content_key(&map, input).await?;
            let seen = map.inputs[input].see_all(done, content);
            candidates.add(input, self.probe_and_learn(&map, input, output, &seen));
        }
        Ok(self.judge(candidates))
    }

    /// Roots name themselves; each further name is asked for only while none has a record.
    async fn look_up_root(&self, output: usize) -> Result<Lookup<V>> {
        let mut found = self.judge(Candidates::none(0));
        if self.node.vertex.ignore_cache {
            return Ok(found);
        }
        for index in 0.. {
            let map = self.cache_map(index).await?;
            let key = map.root_key(output);
            if self.sources.knows(&key) {
                found.records.extend(self.sources.records(&[key]));
            }
            // Known or not, it is a name of what will be loaded: consumers are linked from it, too.
            found.keys.push(key);
            if !found.records.is_empty() || !map.more {
                break;
            }
        }
        Ok(found)
    }

    fn judge(&self, candidates: Candidates) -> Lookup<V> {
        let keys = candidates.matched();
        let records = self.sources.records(&keys);
        Lookup { candidates, keys, records }
    }

    fn probe(&self, map: &CacheMap<V>, input: usize, output: usize, seen: &[Seen]) -> Keys {
        self.sources.follow_all(seen, map.link(input, output))
    }

    /// A match by content teaches the definition, so that next time nothing needs to run.
    fn probe_and_learn(&self, map: &CacheMap<V>, input: usize, output: usize, seen: &[Seen]) -> Keys {
        self.sources.follow_and_learn(seen, map.link(input, output))
    }
}

impl<V> CacheMap<V> {
    /// The key of an operation without inputs.
    pub(super) fn root_key(&self, output: usize) -> KeyId {
        let key = KeyId::root(self.digest, output);
        if self.persistent { key } else { key.bound_to_session() }
    }

    /// How output `output` sees keys of input `input`.
    pub(super) fn link(&self, input: usize, output: usize) -> impl Fn(&Seen) -> Link {
        let operation = self.digest;
        move |seen| Link { input, output, operation, selector: seen.selector }
    }
}

impl<V> InputRule<V> {
    /// The input's definition keys as this rule looks at them.
    pub(super) fn see(&self, keys: &[KeyId]) -> Vec<Seen> {
        keys.iter().map(|key| Seen { key: *key, selector: self.selector }).collect()
    }

    /// All keys through which a finished input may be looked up. The selector says nothing about
    /// the content key: that is of what was selected already.
    fn see_all(&self, done: &Outcome<V>, content: Option<KeyId>) -> Vec<Seen> {
        let mut seen = self.see(done.lookup_keys());
        seen.extend(content.map(|key| Seen { key, selector: None }));
        seen
    }
}

impl<V> Clone for Lookup<V> {
    fn clone(&self) -> Self {
        Self { candidates: self.candidates.clone(), keys: self.keys.clone(), records: self.records.clone() }
    }
}
