//! From cache keys to the solver's cache maps: what an operation sees of its inputs.

use std::sync::Arc;

use slipway_solver::{CacheMap, ContentDigest, ContentDigestFn, InputRule, OpDigest, Selector};
use slipway_store::content_hash;

use super::cache_key::CacheKey;
use crate::remains::{Part, Remains};
use crate::source::cache::make_real;
use crate::{Value, Worker};

/// The cache map of an operation that reads its inputs.
pub(super) fn input_rules(worker: &Arc<Worker>, key: CacheKey, inputs: usize) -> CacheMap<Value> {
    let mut map = CacheMap::new(OpDigest(key.digest), inputs);
    let prepare = make_real();
    for (index, (rule, input)) in map.inputs.iter_mut().zip(key.inputs).enumerate() {
        *rule = InputRule {
            selector: input.selector.map(Selector),
            content: input.content.map(|selectors| content_digest(worker, index, selectors)),
            prepare: Some(prepare.clone()),
        };
    }
    map
}

/// Hashes what `selectors` select of the input `index`; an empty list selects everything.
fn content_digest(
    worker: &Arc<Worker>,
    index: usize,
    selectors: Vec<content_hash::Selector>,
) -> ContentDigestFn<Value> {
    let worker = worker.clone();
    let selectors = Arc::new(selectors);
    Arc::new(move |_, value| {
        let (worker, selectors) = (worker.clone(), selectors.clone());
        Box::pin(async move {
            let looked_at = value.clone();
            let digest = worker.content_digest(value, selectors).await;
            let remains =
                || Remains { part: Part::Content(index), inputs: vec![Some(looked_at)], trees: Vec::new() };
            Ok(ContentDigest(digest.map_err(|error| error.with_remains(remains))?))
        })
    })
}
