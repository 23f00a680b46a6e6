//! All that is being solved now: nodes, loads and executions, each known as long as it lives.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Value;
use crate::call::failed;
use crate::error::{Contract, Error, Result, SharedFailure};
use crate::executor::Executor;
use crate::flight::Flight;
use crate::graph::{Edge, Vertex};
use crate::keys::{KeyId, RecordId, VertexDigest};
use crate::load::{FreshRun, Load, Outcome};
use crate::memo::abortable;
use crate::node::{Input, Node, NodeName};
use crate::phases::Totals;
use crate::records::RecordStore;
use crate::weak_map::WeakMap;

pub(crate) struct Board<V> {
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) store: Arc<dyn RecordStore<V>>,
    pub(crate) phases: Totals,
    /// How many fresh executions there were.
    fresh_runs: AtomicU64,
    nodes: Mutex<Nodes<V>>,
    loads: Mutex<WeakMap<RecordId, Load<V>>>,
    /// By key, and whether it was forced. Also the lock under which it is decided who waits for whom.
    flights: Mutex<WeakMap<(KeyId, bool), Flight<V>>>,
}

struct Nodes<V> {
    by_name: WeakMap<NodeName, Node<V>>,
    forced: WeakMap<VertexDigest, Node<V>>,
}

impl<V: Value> Board<V> {
    pub(crate) fn new(executor: Arc<dyn Executor>, store: Arc<dyn RecordStore<V>>) -> Self {
        Self {
            executor,
            store,
            phases: Totals::default(),
            fresh_runs: AtomicU64::new(0),
            nodes: Mutex::new(Nodes { by_name: WeakMap::default(), forced: WeakMap::default() }),
            loads: Mutex::default(),
            flights: Mutex::default(),
        }
    }

    pub(crate) fn active(&self) -> usize {
        self.nodes.lock().by_name.alive()
    }

    /// The node of `edge`'s vertex, and with it those of all its inputs; no recursion, for graphs
    /// may be deep.
    pub(crate) fn node(self: &Arc<Self>, edge: &Edge<V>) -> Arc<Node<V>> {
        let mut made: HashMap<*const Vertex<V>, Arc<Node<V>>> = HashMap::new();
        let mut todo = vec![&edge.vertex];
        while let Some(vertex) = todo.last().copied() {
            let before = todo.len();
            todo.extend(
                vertex.inputs.iter().map(|e| &e.vertex).filter(|v| !made.contains_key(&Arc::as_ptr(v))),
            );
            if todo.len() == before {
                todo.pop();
                if !made.contains_key(&Arc::as_ptr(vertex)) {
                    made.insert(Arc::as_ptr(vertex), self.node_on(vertex, &made));
                }
            }
        }
        made[&Arc::as_ptr(&edge.vertex)].clone()
    }

    fn node_on(
        self: &Arc<Self>,
        vertex: &Arc<Vertex<V>>,
        made: &HashMap<*const Vertex<V>, Arc<Node<V>>>,
    ) -> Arc<Node<V>> {
        let made = |edge: &Edge<V>| made[&Arc::as_ptr(&edge.vertex)].clone();
        let inputs: Vec<_> =
            vertex.inputs.iter().map(|edge| Input { node: made(edge), output: edge.output }).collect();
        let name = NodeName::of(vertex, &inputs);
        let mut nodes = self.nodes.lock();
        // A forced vertex serves the unforced one too, never the other way round.
        let forced = if name.plain { nodes.forced.get(&vertex.digest) } else { None };
        if let Some(node) = forced.or_else(|| nodes.by_name.get(&name)) {
            return node;
        }
        let node = Arc::new(Node::new(self, name, vertex, inputs));
        nodes.by_name.insert(name, &node);
        if vertex.ignore_cache {
            nodes.forced.insert(vertex.digest, &node);
        }
        node
    }

    pub(crate) fn load(&self, id: &RecordId) -> Arc<Load<V>> {
        let mut loads = self.loads.lock();
        loads.get(id).unwrap_or_else(|| {
            let load = Arc::new(Load::new(&self.executor));
            loads.insert(id.clone(), &load);
            load
        })
    }

    /// Whether a load of `id` is known to have failed.
    pub(crate) fn is_broken(&self, id: &RecordId) -> bool {
        self.loads.lock().get(id).is_some_and(|load| load.outcome.failure().is_some())
    }

    /// From now on, and as long as somebody holds what is returned, `id` does not load.
    pub(crate) fn break_load(&self, id: &RecordId, cause: SharedFailure) -> Arc<Load<V>> {
        let load = Arc::new(Load::broken(&self.executor, Error::Load(cause)));
        self.loads.lock().insert(id.clone(), &load);
        load
    }

    /// From now on, and as long as somebody holds what is returned, `id` needs no loading.
    pub(crate) fn serve_from_memory(&self, id: &RecordId, outcome: &Outcome<V>) -> Arc<Load<V>> {
        let load = Arc::new(Load::ready(&self.executor, outcome.clone()));
        self.loads.lock().insert(id.clone(), &load);
        load
    }

    /// The equal execution in memory or under way, or a new one. Forced work joins no unforced
    /// work, and nobody joins what cannot end without it. `fresh_inputs`: some input is known by
    /// nothing but the fresh run it came from.
    pub(crate) fn join_or_lead(
        &self,
        key: &KeyId,
        node: &Arc<Node<V>>,
        fresh_inputs: bool,
    ) -> Arc<Flight<V>> {
        let mut flights = self.flights.lock();
        let forced = node.vertex.ignore_cache;
        let unforced = if forced { None } else { flights.get(&(*key, false)) };
        // One it takes part in already comes first: it may be over.
        let mut known: Vec<_> = flights.get(&(*key, true)).into_iter().chain(unforced).collect();
        known.sort_by_key(|flight| !node.flies_in(flight));
        let joined = known
            .into_iter()
            .find(|flight| node.flies_in(flight) || flight.values.is_done() || !flight_needs(flight, node));
        let flight = joined.unwrap_or_else(|| {
            let fresh = (forced || fresh_inputs).then(|| self.next_fresh_run());
            let flight = Arc::new(Flight::new(&self.executor, fresh));
            flights.insert((*key, forced), &flight);
            flight
        });
        node.hold_flight(&flight);
        drop(flights);
        flight.add_member(node);
        for job in node.live_jobs() {
            flight.children().iter().for_each(|child| job.attach(child));
        }
        flight
    }

    fn next_fresh_run(&self) -> FreshRun {
        FreshRun(self.fresh_runs.fetch_add(1, Ordering::Relaxed))
    }

    /// Solves `edge` for the operation of `leader` that runs. Of all that wait for it, only the leader
    /// cannot do without: others that `edge` needs are shown out.
    pub(crate) async fn build_for_flight(
        self: &Arc<Self>,
        flight: &Arc<Flight<V>>,
        leader: &Arc<Node<V>>,
        edge: &Edge<V>,
        stop: &CancellationToken,
    ) -> Result<Outcome<V>> {
        let child = self.node(edge);
        {
            let _deciding = self.flights.lock();
            if child.needs(leader) {
                return Err(failed(&edge.vertex, Contract::AsksForItself.into()));
            }
            flight.add_child(&child);
            child.needed_in(flight).iter().for_each(|twin| flight.show_out(twin));
        }
        flight.live_jobs().iter().for_each(|job| job.attach(&child));
        abortable(stop, flight.permit.give_back_during(flight, child.result(edge.output))).await
    }

    /// Solves `edge` for an operation that is asked how it is cached.
    pub(crate) async fn build_for_node(
        self: &Arc<Self>,
        node: &Arc<Node<V>>,
        edge: &Edge<V>,
        stop: &CancellationToken,
    ) -> Result<Outcome<V>> {
        let child = self.node(edge);
        {
            let _deciding = self.flights.lock();
            if child.needs(node) {
                return Err(failed(&edge.vertex, Contract::AsksForItself.into()));
            }
            node.add_child(&child);
        }
        node.live_jobs().iter().for_each(|job| job.attach(&child));
        abortable(stop, child.result(edge.output)).await
    }
}

fn flight_needs<V: Value>(flight: &Flight<V>, node: &Arc<Node<V>>) -> bool {
    flight.children().iter().any(|child| child.needs(node))
}
