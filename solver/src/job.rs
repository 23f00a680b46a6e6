//! One client's build: what it wants solved, in whose name, and who hears about it.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Value;
use crate::board::Board;
use crate::error::{Error, Result};
use crate::graph::Edge;
use crate::keys::{KeyId, VertexDigest};
use crate::memo::abortable;
use crate::node::{Node, NodeName};
use crate::op::PrepareFn;
use crate::phases::Spent;
use crate::progress::Progress;
use crate::progress::stream::Stream;
use crate::records::RecordSource;
use crate::trace::Trace;

/// What a job is made with.
pub struct JobOptions<V> {
    /// For the log.
    pub id: String,
    /// Client sessions that work for this job may use.
    pub sessions: Vec<String>,
    pub progress: Arc<dyn Progress>,
    /// Imported caches, asked after the store. What they give is saved there.
    pub imports: Vec<Arc<dyn RecordSource<V>>>,
    /// How many operations run at once for this job alone; `None` is no limit. What runs for several
    /// jobs needs room in one of them.
    pub parallelism: Option<usize>,
}

/// A solved edge.
#[derive(Clone, Debug)]
pub struct Built<V> {
    pub value: V,
    /// The keys the result is known under, the most telling first. From here an export walks back
    /// through the store.
    pub keys: Vec<KeyId>,
}

/// A job keeps what it asked for in memory and wanted until it is discarded, so that one build
/// after the other can use it. Dropping it cancels it without waiting.
pub struct Job<V: Value> {
    state: Arc<JobState<V>>,
}

/// The part of a job that vertices know.
pub(crate) struct JobState<V> {
    pub(crate) id: String,
    pub(crate) sessions: Vec<String>,
    pub(crate) imports: Vec<Arc<dyn RecordSource<V>>>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) stop: CancellationToken,
    board: Arc<Board<V>>,
    /// Builds under way.
    builds: TaskTracker,
    pub(crate) permits: Option<Arc<Semaphore>>,
    wanted: Mutex<Wanted<V>>,
}

/// All that a job wants, sub-builds included, in the order in which it came to want them.
struct Wanted<V> {
    names: HashSet<NodeName>,
    nodes: Vec<Arc<Node<V>>>,
}

impl<V: Value> Job<V> {
    pub(crate) fn new(board: &Arc<Board<V>>, options: JobOptions<V>) -> Self {
        let JobOptions { id, sessions, progress, imports, parallelism } = options;
        let builds = TaskTracker::new();
        builds.close();
        Self {
            state: Arc::new(JobState {
                id,
                sessions,
                imports,
                stream: Arc::new(Stream::new(progress)),
                stop: CancellationToken::new(),
                board: board.clone(),
                builds,
                permits: parallelism.map(|limit| Arc::new(Semaphore::new(limit.max(1)))),
                wanted: Mutex::new(Wanted { names: HashSet::new(), nodes: Vec::new() }),
            }),
        }
    }

    /// The result of one edge: from memory, from a cache, or by running what is missing. It may be lazy. Dropping
    /// the future cancels this build alone.
    pub async fn build(&self, edge: &Edge<V>) -> Result<Built<V>> {
        self.solve(edge, None).await
    }

    /// The same, made real by `prepare`, which is asked as often as a cached result turns out to be lost.
    pub async fn build_real(&self, edge: &Edge<V>, prepare: PrepareFn<V>) -> Result<Built<V>> {
        self.solve(edge, Some(prepare)).await
    }

    async fn solve(&self, edge: &Edge<V>, prepare: Option<PrepareFn<V>>) -> Result<Built<V>> {
        let state = self.state.clone();
        let node = state.board.node(edge);
        if state.stop.is_cancelled() {
            return Err(Error::Cancelled);
        }
        state.attach(&node);
        let alone = state.stop.child_token();
        let _cancel_when_dropped = alone.clone().drop_guard();
        let output = edge.output;
        let (answer, answered) = oneshot::channel();
        let build = async move {
            let outcome = match prepare {
                None => abortable(&alone, node.result(output)).await,
                Some(prepare) => node.real_result(output, &prepare, &node.vertex, &alone).await,
            };
            drop(node); // with the answer the job alone keeps it in memory
            let _ = answer.send(outcome); // whoever asked may be gone
        };
        state.board.executor.spawn(Box::pin(state.builds.track_future(build)));
        let outcome = answered.await.map_err(|_| Error::Cancelled)??;
        Ok(Built { value: outcome.value, keys: outcome.keys })
    }

    /// How each vertex of this job got its result, as far as it is known now. Empty once the job has ended;
    /// `None` if there are more than `most`.
    pub fn traces(&self, most: usize) -> Option<Vec<Trace>> {
        let nodes: Vec<_> = {
            let wanted = self.state.wanted.lock();
            if wanted.nodes.len() > most {
                return None;
            }
            wanted.nodes.clone()
        };
        Some(nodes.iter().map(|node| node.trace()).collect())
    }

    /// What the vertices of this job have spent their time on, of those that have; looks at `most` at most.
    pub fn spent(&self, most: usize) -> Vec<(VertexDigest, Spent)> {
        let nodes: Vec<_> = self.state.wanted.lock().nodes.iter().take(most).cloned().collect();
        let spent = nodes.iter().map(|node| (node.vertex.digest, node.course.lock().spent.clone()));
        spent.filter(|(_, spent)| spent.imported || !spent.phases.is_empty()).collect()
    }

    /// Stops all builds of this job, now and later. Work that other jobs want goes on.
    pub fn cancel(&self) {
        self.state.stop.cancel();
    }

    /// Cancels, and returns when what nobody else wants has come down and progress is complete.
    pub async fn discard(self) {
        self.end().await;
    }

    /// As [`Self::discard`], for a job that others still hold: it can solve nothing any more.
    pub async fn end(&self) {
        self.cancel();
        self.state.builds.wait().await;
        self.state.come_down().await;
        self.state.stream.close();
        let wanted = std::mem::take(&mut self.state.wanted.lock().nodes);
        drop(wanted);
        tracing::debug!(job = self.state.id, "the job has come down");
    }
}

impl<V: Value> Drop for Job<V> {
    fn drop(&mut self) {
        self.cancel();
        self.state.stream.close();
    }
}

impl<V: Value> JobState<V> {
    /// Makes this job one that wants `node` and all below it, sub-builds included.
    pub(crate) fn attach(self: &Arc<Self>, node: &Arc<Node<V>>) {
        let mut todo = vec![(node.clone(), false)];
        while let Some((node, inputs_done)) = todo.pop() {
            if inputs_done {
                node.add_job(self);
                todo.extend(node.offspring().into_iter().map(|child| (child, false)));
            } else if self.wanted.lock().add(&node) {
                let inputs: Vec<_> = node.inputs.iter().map(|input| (input.node.clone(), false)).collect();
                todo.push((node, true));
                todo.extend(inputs);
            }
        }
    }

    async fn come_down(&self) {
        loop {
            let nodes = self.wanted.lock().nodes.clone();
            let mut quiet = true;
            for node in &nodes {
                quiet &= node.settle().await;
            }
            if quiet && self.wanted.lock().nodes.len() == nodes.len() {
                return;
            }
        }
    }
}

impl<V> Wanted<V> {
    /// Says whether that was new.
    fn add(&mut self, node: &Arc<Node<V>>) -> bool {
        let new = self.names.insert(node.name);
        if new {
            self.nodes.push(node.clone());
        }
        new
    }
}
