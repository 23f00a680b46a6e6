//! Inputs: their results, what is in them, and what they are called.

use futures::future::try_join_all;

use super::Attempt;
use super::search::Probes;
use crate::Value;
use crate::call::call;
use crate::error::Result;
use crate::keys::{KeyId, Seen};
use crate::load::Outcome;
use crate::memo::abortable;
use crate::op::CacheMap;
use crate::phases::Phase;

impl<V: Value> Attempt<V> {
    /// Lets go of the smaller questions only with the results in hand: otherwise what runs for them
    /// would be cancelled, only to be started again. To have asked is not enough: with hundreds of
    /// inputs the first look at all the answers does not reach every one.
    pub(super) async fn finish_inputs(&self, probes: Probes) -> Result<Vec<Outcome<V>>> {
        let asked = self.node.inputs.iter().map(|input| input.node.result(input.output));
        let results = try_join_all(asked).await;
        drop(probes);
        results
    }

    /// The key of what input `input` contains, if the operation cares.
    pub(super) async fn content_key(&self, map: &CacheMap<V>, input: usize) -> Result<Option<KeyId>> {
        let Some(content) = map.inputs[input].content.clone() else { return Ok(None) };
        let memo = self.node.answers.contents.of(input);
        if let Some(known) = memo.peek() {
            return Ok(known);
        }
        let source = &self.node.inputs[input];
        source.node.result(source.output).await?;
        self.prepare(map, input).await?;
        let value = source.node.result(source.output).await?.value;
        memo.get(&self.stop, |stop| {
            let (node, content, value) = (self.node.clone(), content.clone(), value.clone());
            async move {
                let ctx = node.context(&stop.token);
                let _digesting = node.enters(Phase::Digest);
                let digest = call(&node.vertex, &stop.token, async { content(ctx, value).await });
                let digest =
                    abortable(&stop.token, digest).await.inspect_err(|error| node.tell_failure(error))?;
                Ok(Some(KeyId::content(digest)))
            }
        })
        .await
    }

    /// Every name under which each finished input is known here; the most telling first: what is in
    /// it, then what later sessions can name, too.
    pub(super) async fn names_of(&self, inputs: &[Outcome<V>]) -> Result<Vec<Vec<Seen>>> {
        let map = self.cache_map(0).await?;
        let contents = try_join_all((0..inputs.len()).map(|input| self.content_key(&map, input))).await?;
        let mut names = Vec::new();
        for (input, (done, content)) in inputs.iter().zip(contents).enumerate() {
            let mut seen: Vec<_> = content.map(|key| Seen { key, selector: None }).into_iter().collect();
            seen.extend(map.inputs[input].see(&done.keys));
            seen.sort_by_key(|seen| seen.key.is_session_bound());
            names.push(seen);
        }
        Ok(names)
    }
}
