//! Making a lazy result real, for whoever reads it.
//!
//! A cache may hand out a result that it has yet to fetch. Whether it can be had shows only then, when others
//! count on it already. If it cannot ([`Lost`]), it is as if the record had never loaded: it is remembered as one
//! that does not, the vertex forgets its answer, and the next record, or the operation itself, gives another.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Attempt;
use crate::Value;
use crate::call::call;
use crate::error::{Error, Lost, Result, SharedFailure, with_causes};
use crate::graph::Vertex;
use crate::load::{Loaded, Outcome};
use crate::memo::abortable;
use crate::node::Node;
use crate::op::{CacheMap, PrepareFn};
use crate::phases::Phase;
use crate::records::Sources;

impl<V: Value> Attempt<V> {
    /// Makes input `input` real, if the operation needs it to be.
    pub(super) async fn prepare(&self, map: &CacheMap<V>, input: usize) -> Result<()> {
        let Some(prepare) = map.inputs[input].prepare.clone() else { return Ok(()) };
        let memo = self.node.answers.prepared.of(input);
        memo.get(&self.stop, |stop| {
            let (node, prepare) = (self.node.clone(), prepare.clone());
            async move {
                let source = &node.inputs[input];
                let real = source.node.real_result(source.output, &prepare, &node.vertex, &stop.token);
                real.await.map(drop).inspect_err(|error| node.tell_failure(error))
            }
        })
        .await
    }

    /// What an operation is given: as `inputs`, but for those that were lost meanwhile.
    pub(super) async fn real_inputs(&self, inputs: &[Outcome<V>]) -> Result<Vec<V>> {
        let map = self.cache_map(0).await?;
        futures::future::try_join_all((0..inputs.len()).map(|input| self.prepare(&map, input))).await?;
        let value = |(input, known): (usize, &Outcome<V>)| {
            let source = &self.node.inputs[input];
            let now = source.node.answers.result.peek(&source.output);
            now.map_or_else(|| known.value.clone(), |outcome| outcome.value)
        };
        Ok(inputs.iter().enumerate().map(value).collect())
    }
}

impl<V: Value> Node<V> {
    /// The result of `output`, made real by `prepare`. What fails then fails `reader`.
    pub(crate) async fn real_result(
        self: &Arc<Self>,
        output: usize,
        prepare: &PrepareFn<V>,
        reader: &Vertex<V>,
        stop: &CancellationToken,
    ) -> Result<Outcome<V>> {
        let held = self.interest.hold();
        loop {
            let outcome = abortable(stop, self.result(output)).await?;
            let realizing = self.enters(Phase::Realize);
            let (ctx, value) = (self.context(stop), outcome.value.clone());
            let real = abortable(stop, call(reader, stop, async { prepare(ctx, value).await })).await;
            drop(realizing);
            match (real, &outcome.loaded) {
                (Ok(()), Some(loaded)) if loaded.imported => {
                    let sources = Sources::new(self.board.store.clone(), self.imports());
                    let attempt = Attempt { node: self.clone(), stop: held.stop.clone(), sources };
                    if let Some(key) = outcome.keys.first() {
                        attempt.adopt(&outcome, *key).await?;
                    }
                    return Ok(outcome);
                }
                (Ok(()), _) => return Ok(outcome),
                (Err(Error::Op { source, .. }), Some(loaded)) if is_lost(&source) => {
                    self.lose(output, &outcome, loaded, source);
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    fn lose(&self, output: usize, lost: &Outcome<V>, loaded: &Loaded, cause: SharedFailure) {
        self.remember_first_key(output, lost);
        self.course.lock().refused(with_causes(&*cause));
        tracing::debug!(record = %loaded.record, vertex = %self.vertex.digest, %cause, "a cached result is lost");
        self.hold_load(self.board.break_load(&loaded.record, cause));
        let is_it = |known: &Outcome<V>| known.loaded.as_ref().is_some_and(|l| l.record == loaded.record);
        self.answers.result.of(output).forget_if(is_it);
    }
}

fn is_lost(failure: &SharedFailure) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**failure);
    while let Some(error) = cause {
        if error.is::<Lost>() {
            return true;
        }
        cause = error.source();
    }
    false
}
