//! The graph of what is being solved now, shared by all jobs.
//!
//! A job owns its nodes, a node owns its inputs, the board only knows them weakly. So a node, and
//! with it every answer, value and line of output it remembers, lives exactly as long as some job
//! can reach it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use slipway_model::{Digest, Hasher};

use crate::Value;
use crate::board::Board;
use crate::flight::Flight;
use crate::graph::Vertex;
use crate::interest::Interest;
use crate::job::JobState;
use crate::keys::KeyId;
use crate::load::{Load, Outcome};
use crate::memo::Memos;
use crate::op::CacheMap;
use crate::progress::journal::Journal;
use crate::progress::stream::Channel;
use crate::resolve::Lookup;
use crate::trace::Course;

pub(crate) struct Node<V> {
    pub(crate) name: NodeName,
    pub(crate) board: Arc<Board<V>>,
    pub(crate) vertex: Arc<Vertex<V>>,
    pub(crate) inputs: Vec<Input<V>>,
    pub(crate) interest: Arc<Interest>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) answers: Answers<V>,
    /// How its result came to be; only told, never asked by the engine.
    pub(crate) course: Mutex<Course>,
    /// By which key the result of an output was known first, for outputs that lost it.
    first_keys: Mutex<HashMap<usize, KeyId>>,
    jobs: Mutex<Vec<Weak<JobState<V>>>>,
    /// Graphs that the operation asked for outside of an execution.
    children: Mutex<Vec<Arc<Node<V>>>>,
    loads: Mutex<Vec<Arc<Load<V>>>>,
    flights: Mutex<Vec<Arc<Flight<V>>>>,
}

/// What makes two vertices the same node: their digest, and what is forced at and below them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct NodeName {
    digest: Digest,
    /// Nothing is forced, so the name is the vertex's own digest.
    pub(crate) plain: bool,
}

pub(crate) struct Input<V> {
    pub(crate) node: Arc<Node<V>>,
    pub(crate) output: usize,
}

/// What was found out so far, by output or by input.
pub(crate) struct Answers<V> {
    pub(crate) cache_maps: Memos<usize, Arc<CacheMap<V>>>,
    pub(crate) prepared: Memos<usize, ()>,
    pub(crate) contents: Memos<usize, Option<KeyId>>,
    pub(crate) fast: Memos<usize, Vec<KeyId>>,
    pub(crate) lookup: Memos<usize, Lookup<V>>,
    pub(crate) result: Memos<usize, Outcome<V>>,
}

impl NodeName {
    pub(crate) fn of<V>(vertex: &Vertex<V>, inputs: &[Input<V>]) -> Self {
        if !vertex.ignore_cache && inputs.iter().all(|input| input.node.name.plain) {
            return Self { digest: vertex.digest.0, plain: true };
        }
        let mut text = Hasher::new();
        text.update(format!("{} {}", vertex.digest, vertex.ignore_cache).as_bytes());
        for input in inputs {
            text.update(format!(" {}", input.node.name.digest).as_bytes());
        }
        Self { digest: text.finish(), plain: false }
    }
}

impl<V: Value> Node<V> {
    pub(crate) fn new(
        board: &Arc<Board<V>>,
        name: NodeName,
        vertex: &Arc<Vertex<V>>,
        inputs: Vec<Input<V>>,
    ) -> Self {
        Self {
            name,
            board: board.clone(),
            vertex: vertex.clone(),
            inputs,
            interest: Interest::new(&board.executor),
            journal: Arc::default(),
            answers: Answers::default(),
            course: Mutex::default(),
            first_keys: Mutex::default(),
            jobs: Mutex::default(),
            children: Mutex::default(),
            loads: Mutex::default(),
            flights: Mutex::default(),
        }
    }

    /// `job` wants this node from now on, and hears what happens to it.
    pub(crate) fn add_job(&self, job: &Arc<JobState<V>>) {
        let mut jobs = self.jobs.lock();
        jobs.retain(|known| known.strong_count() > 0);
        jobs.push(Arc::downgrade(job));
        drop(jobs);
        self.journal.join(Arc::new(Channel::announce(&job.stream, &self.vertex)));
    }

    /// The jobs that want this node and are not cancelled.
    pub(crate) fn live_jobs(&self) -> Vec<Arc<JobState<V>>> {
        let jobs: Vec<_> = self.jobs.lock().iter().filter_map(Weak::upgrade).collect();
        jobs.into_iter().filter(|job| !job.stop.is_cancelled()).collect()
    }

    pub(crate) fn add_child(&self, node: &Arc<Node<V>>) {
        self.children.lock().push(node.clone());
    }

    /// The result of `output` is lost: the next one goes by the same first key, see [`Self::as_first_known`].
    pub(crate) fn remember_first_key(&self, output: usize, lost: &Outcome<V>) {
        if let Some(key) = lost.keys.first() {
            self.first_keys.lock().entry(output).or_insert(*key);
        }
    }

    /// Executions of consumers are found by the first key of what they work on. Of two that want the same, one may
    /// have asked before the result was lost and one after, so it must not change.
    pub(crate) fn as_first_known(&self, output: usize, mut outcome: Outcome<V>) -> Outcome<V> {
        if let Some(first) = self.first_keys.lock().get(&output)
            && let Some(place) = outcome.keys.iter().position(|key| key == first)
        {
            outcome.keys[..=place].rotate_right(1);
        }
        outcome
    }

    pub(crate) fn hold_load(&self, load: Arc<Load<V>>) {
        self.loads.lock().push(load);
    }

    pub(crate) fn hold_flight(&self, flight: &Arc<Flight<V>>) {
        let mut flights = self.flights.lock();
        if !flights.iter().any(|known| Arc::ptr_eq(known, flight)) {
            flights.push(flight.clone());
        }
    }

    pub(crate) fn leave_flight(&self, flight: &Arc<Flight<V>>) {
        self.flights.lock().retain(|known| !Arc::ptr_eq(known, flight));
    }

    pub(crate) fn flies_in(&self, flight: &Arc<Flight<V>>) -> bool {
        self.flights.lock().iter().any(|known| Arc::ptr_eq(known, flight))
    }

    /// What this node's operation asked for, by itself or in an execution it takes part in.
    pub(crate) fn offspring(&self) -> Vec<Arc<Node<V>>> {
        let mut offspring = self.children.lock().clone();
        for flight in self.flights.lock().iter() {
            offspring.extend(flight.children());
        }
        offspring
    }

    pub(crate) fn known_cache_maps(&self) -> Vec<Arc<CacheMap<V>>> {
        self.answers.cache_maps.known()
    }

    /// Asks this node, then those it depends on, nearest first, until one answers.
    pub(crate) fn nearest<R>(&self, mut ask: impl FnMut(&Node<V>) -> Option<R>) -> Option<R> {
        let (mut level, mut seen) = (vec![self], HashSet::new());
        while !level.is_empty() {
            if let Some(answer) = level.iter().find_map(|node| ask(node)) {
                return Some(answer);
            }
            let inputs = level.iter().flat_map(|node| node.inputs.iter().map(|input| &*input.node));
            level = inputs.filter(|node| seen.insert(std::ptr::from_ref(*node))).collect();
        }
        None
    }

    /// Whether this node needs `other`: as input, for a sub-build, or because an execution it takes part
    /// in does.
    pub(crate) fn needs(self: &Arc<Self>, other: &Arc<Node<V>>) -> bool {
        self.needed_until(|node| Arc::ptr_eq(node, other))
    }

    /// All that this node needs and that takes part in `flight`.
    pub(crate) fn needed_in(self: &Arc<Self>, flight: &Arc<Flight<V>>) -> Vec<Arc<Node<V>>> {
        let mut found = Vec::new();
        self.needed_until(|node| {
            if node.flies_in(flight) {
                found.push(node.clone());
            }
            false
        });
        found
    }

    /// Goes through this node and all it needs, each once, until `is_it`.
    fn needed_until(self: &Arc<Self>, mut is_it: impl FnMut(&Arc<Node<V>>) -> bool) -> bool {
        let (mut todo, mut seen) = (vec![self.clone()], HashSet::new());
        while let Some(node) = todo.pop() {
            if !seen.insert(Arc::as_ptr(&node)) {
                continue;
            }
            if is_it(&node) {
                return true;
            }
            todo.extend(node.inputs.iter().map(|input| input.node.clone()));
            todo.extend(node.offspring());
        }
        false
    }

    /// Waits until unwanted work has come down; says whether there was none.
    pub(crate) async fn settle(&self) -> bool {
        let mut quiet = self.interest.settle(|| !self.live_jobs().is_empty()).await;
        let flights = self.flights.lock().clone();
        for flight in flights {
            quiet &= flight.interest.settle(|| !flight.live_jobs().is_empty()).await;
        }
        let loads = self.loads.lock().clone();
        for load in loads {
            quiet &= load.interest.settle(|| true).await;
        }
        quiet
    }
}

impl<V> Default for Answers<V> {
    fn default() -> Self {
        Self {
            cache_maps: Memos::default(),
            prepared: Memos::default(),
            contents: Memos::default(),
            fast: Memos::default(),
            lookup: Memos::default(),
            result: Memos::default(),
        }
    }
}

/// In a loop, as for [`Vertex`]: graphs may be deep.
impl<V> Drop for Node<V> {
    fn drop(&mut self) {
        let mut inputs = std::mem::take(&mut self.inputs);
        while let Some(input) = inputs.pop() {
            if let Some(mut node) = Arc::into_inner(input.node) {
                inputs.append(&mut node.inputs);
            }
        }
    }
}
