//! What stands behind a vertex: an operation that says how it is cached and that can run.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::context::OpContext;
use crate::error::Failure;
use crate::keys::{ContentDigest, OpDigest, Selector};

/// What operations answer with. Any error converts with `?`, the solver's own included.
pub type OpResult<T> = Result<T, Failure>;

/// The work of a vertex. Every method may be called again after it was cancelled, and
/// [`Op::exec`] may run in several executions at the same time.
#[async_trait]
pub trait Op<V>: Send + Sync {
    /// How this operation is cached: the answer number `index`. Number 0 always exists; number
    /// n + 1 is asked for only if number n said [`CacheMap::more`]. Dropped when nobody waits for
    /// it any more.
    async fn cache_map(&self, ctx: &OpContext<V>, index: usize) -> OpResult<CacheMap<V>>;

    /// Waits for the right to run. Asked when the inputs are there; the permit is held around
    /// [`Op::exec`] only, so a limit on parallelism can never be held by one who waits for another.
    /// Dropped when nobody waits for it any more.
    async fn acquire(&self, _ctx: &OpContext<V>) -> OpResult<Permit> {
        Ok(Permit::none())
    }

    /// Runs. One value per output. When [`OpContext::stop`] is pulled it cleans up and returns:
    /// it is never dropped half-way.
    async fn exec(&self, ctx: &OpContext<V>, inputs: Vec<V>) -> OpResult<Vec<V>>;
}

/// How an operation is cached.
pub struct CacheMap<V> {
    pub digest: OpDigest,
    /// Whether another session could ever compute the same digest. False for sources that only
    /// this session can name: they are never saved as a root, only what they contain can match.
    pub persistent: bool,
    /// One rule per input of the vertex.
    pub inputs: Vec<InputRule<V>>,
    /// A root may name itself again, more exactly or at a higher price; asked for only if this name
    /// leads to no record. Ignored where there are inputs.
    pub more: bool,
    /// Handed to whoever loads a record for this vertex or one that depends on it
    /// ([`OpContext::option`]): sessions, descriptors of layers. Enters no key.
    pub options: Vec<Arc<dyn Any + Send + Sync>>,
    /// What a root turned out to be, for people: the digest a tag led to. Enters no key.
    pub resolved: Option<Arc<str>>,
}

/// How an operation looks at one of its inputs.
pub struct InputRule<V> {
    /// Enters the key with the input's definition keys; says nothing about its content key.
    pub selector: Option<Selector>,
    /// The checksum of what the operation sees, if equal content means equal results.
    pub content: Option<ContentDigestFn<V>>,
    /// Makes a lazy input real. Runs before `content` and before the operation itself, once, but
    /// never for an input whose definition was enough to find the result.
    pub prepare: Option<PrepareFn<V>>,
}

/// Computes what an operation sees of an input. The context is that of the operation's vertex.
pub type ContentDigestFn<V> =
    Arc<dyn Fn(OpContext<V>, V) -> BoxFuture<'static, OpResult<ContentDigest>> + Send + Sync>;

/// Makes an input real. The context is that of the input's vertex: its sessions, its progress. Says
/// [`crate::Lost`] of what cannot be had.
pub type PrepareFn<V> = Arc<dyn Fn(OpContext<V>, V) -> BoxFuture<'static, OpResult<()>> + Send + Sync>;

/// The right to run; given back when dropped.
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] Option<Box<dyn Any + Send>>);

impl Permit {
    /// For operations that nothing limits.
    pub fn none() -> Self {
        Self(None)
    }

    /// Wraps a guard, for example an owned semaphore permit.
    pub fn holding(guard: impl Any + Send) -> Self {
        Self(Some(Box::new(guard)))
    }
}

impl<V> CacheMap<V> {
    /// The map of an operation on `inputs` inputs that are known by their definitions.
    pub fn new(digest: OpDigest, inputs: usize) -> Self {
        Self {
            digest,
            persistent: true,
            inputs: (0..inputs).map(|_| InputRule::default()).collect(),
            more: false,
            options: Vec::new(),
            resolved: None,
        }
    }
}

impl<V> Default for InputRule<V> {
    fn default() -> Self {
        Self { selector: None, content: None, prepare: None }
    }
}

impl<V> Clone for InputRule<V> {
    fn clone(&self) -> Self {
        Self { selector: self.selector, content: self.content.clone(), prepare: self.prepare.clone() }
    }
}
