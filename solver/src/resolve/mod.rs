//! How one edge is solved. The whole of it is [`Attempt::find_or_make`]; read from there.
//!
//! ```text
//! search        push each input only until it leads to some key: its definition, then its own lookup,
//!               then its content. One input that leads nowhere ends the search. If the answers do
//!               not meet in a key that has a record, push all to the end.
//! load          the newest record that still loads
//! finish        all inputs in parallel, asked for before the probes are let go
//! search again  with the keys that finished inputs carry
//! join or lead  an equal execution, found by its computed key
//! execute       with the inputs made real and the operation's permit in hand
//! save          under every name; in memory before in the store
//! ```
//!
//! | what | where |
//! |---|---|
//! | questions to a node; an attempt at answering one | this file |
//! | what the caches say | [`search`] |
//! | the newest record that loads | [`load`] |
//! | inputs: their results, contents, names | [`inputs`] |
//! | lazy results, made real | [`realize`] |
//! | running | [`execute`] |
//! | keeping | [`save`] |

mod execute;
mod inputs;
mod load;
mod realize;
mod save;
mod search;

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::Value;
use crate::call::{call, failed, unbroken};
use crate::context::OpContext;
use crate::error::{Contract, Error, Result};
use crate::interest::Stop;
use crate::keys::KeyId;
use crate::load::Outcome;
use crate::memo::abortable;
use crate::node::Node;
use crate::op::CacheMap;
use crate::phases::Phase;
use crate::records::{RecordSource, Sources};

pub(crate) use search::Lookup;

/// More names than a root can sensibly have.
const MOST_NAMES: usize = 32;

/// What others may ask of a node. Asking is holding interest in it.
impl<V: Value> Node<V> {
    /// The result of one output: from memory, from a cache, or by running.
    pub(crate) fn result(self: &Arc<Self>, output: usize) -> BoxFuture<'static, Result<Outcome<V>>> {
        let node = self.clone();
        Box::pin(async move {
            let held = node.interest.hold();
            let memo = node.answers.result.of(output);
            memo.get(&held.stop, |stop| node.attempt(stop, move |attempt| attempt.solve(output))).await
        })
    }

    /// Keys that the definitions of the inputs lead to. Runs nothing.
    fn fast_keys(self: &Arc<Self>, output: usize) -> BoxFuture<'static, Result<Vec<KeyId>>> {
        let node = self.clone();
        Box::pin(async move {
            // A finished edge knows more than its definition ever did.
            if let Some(done) = node.answers.result.of(output).peek() {
                return Ok(done.lookup_keys().to_vec());
            }
            let held = node.interest.hold();
            let memo = node.answers.fast.of(output);
            memo.get(&held.stop, |stop| node.attempt(stop, move |attempt| attempt.match_definitions(output)))
                .await
        })
    }

    /// All that the caches say. May run inputs, never the vertex itself.
    fn lookup(self: &Arc<Self>, output: usize) -> BoxFuture<'static, Result<Lookup<V>>> {
        let node = self.clone();
        Box::pin(async move {
            let held = node.interest.hold();
            let memo = node.answers.lookup.of(output);
            memo.get(&held.stop, |stop| node.attempt(stop, move |attempt| attempt.search_only(output))).await
        })
    }

    fn attempt<T, F, W>(self: &Arc<Self>, stop: Stop, work: W) -> BoxFuture<'static, Result<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        W: FnOnce(Arc<Attempt<V>>) -> F,
    {
        let sources = Sources::new(self.board.store.clone(), self.imports());
        let (node, token) = (self.clone(), stop.token.clone());
        let work = work(Arc::new(Attempt { node: self.clone(), stop, sources }));
        Box::pin(async move { unbroken(&node.vertex, abortable(&token, work)).await })
    }

    fn imports(&self) -> Vec<Arc<dyn RecordSource<V>>> {
        self.live_jobs().iter().flat_map(|job| job.imports.clone()).collect()
    }

    fn context(self: &Arc<Self>, stop: &CancellationToken) -> OpContext<V> {
        OpContext { stop: stop.clone(), node: self.clone(), flight: None }
    }
}

/// One try at answering for a node; ends with `stop`.
#[derive(Clone)]
struct Attempt<V> {
    node: Arc<Node<V>>,
    stop: Stop,
    sources: Sources<V>,
}

impl<V: Value> Attempt<V> {
    /// The same for work that outlives this attempt: an execution may serve others, too.
    fn until(&self, stop: Stop) -> Self {
        Self { stop, ..self.clone() }
    }

    async fn solve(self: Arc<Self>, output: usize) -> Result<Outcome<V>> {
        let outcome = self.clone().find_or_make(output).await?;
        Ok(self.node.as_first_known(output, outcome))
    }

    /// Each part is boxed: in a deep graph a hundred thousand of these wait for their inputs at a
    /// time, and each would take the room of all its parts together.
    async fn find_or_make(self: Arc<Self>, output: usize) -> Result<Outcome<V>> {
        let (found, probes) = Box::pin(self.search(output)).await?;
        if let Some(outcome) = Box::pin(self.load_newest(&found)).await? {
            return Ok(outcome);
        }
        let inputs = Box::pin(self.finish_inputs(probes)).await?;
        let names = Box::pin(self.names_of(&inputs)).await?;
        let found = Box::pin(self.search_again(output, found, &inputs)).await?;
        loop {
            let flight = self.join_or_lead(&inputs, &names).await?;
            if flight.values.peek().is_none()
                && let Some(outcome) = Box::pin(self.load_newest(&found)).await?
            {
                return Ok(outcome);
            }
            if let Some(outcome) = Box::pin(self.execute(&flight, output, &inputs, &names)).await? {
                return Ok(outcome.also_known_as(&found.keys));
            }
            // Shown out: the next one is its own.
        }
    }

    /// The operation's answer number `index` to how it is cached.
    async fn cache_map(&self, index: usize) -> Result<Arc<CacheMap<V>>> {
        let memo = self.node.answers.cache_maps.of(index);
        memo.get(&self.stop, |stop| {
            let node = self.node.clone();
            async move {
                let ctx = node.context(&stop.token);
                let is_root = node.inputs.is_empty();
                if is_root {
                    node.journal.began(false); // finding out what a source is may take its time
                }
                let identifying = node.enters(Phase::Identify);
                let work = call(&node.vertex, &stop.token, node.vertex.op.cache_map(&ctx, index));
                let map = abortable(&stop.token, work).await.and_then(|map| node.checked(map, index));
                drop(identifying);
                match &map {
                    Ok(_) if is_root => node.journal.ended(false, None),
                    Ok(_) => {}
                    Err(error) => node.tell_failure(error),
                }
                map.map(Arc::new)
            }
        })
        .await
    }
}

impl<V: Value> Node<V> {
    fn checked(&self, map: CacheMap<V>, index: usize) -> Result<CacheMap<V>> {
        let (inputs, rules) = (self.inputs.len(), map.inputs.len());
        if inputs != rules {
            return Err(failed(&self.vertex, Contract::Rules { inputs, rules }.into()));
        }
        if map.more && index + 1 >= MOST_NAMES {
            return Err(failed(&self.vertex, Contract::Names(MOST_NAMES).into()));
        }
        Ok(map)
    }

    /// A vertex that fails before it runs is shown as begun and failed.
    fn tell_failure(&self, error: &Error) {
        if !matches!(error, Error::Cancelled) {
            self.journal.began(false);
            self.journal.ended(false, Some(error.reason()));
        }
    }
}
