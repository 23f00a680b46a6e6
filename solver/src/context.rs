//! What an operation may use while it works for the solver.

use std::any::Any;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::Value;
use crate::error::Result;
use crate::flight::Flight;
use crate::graph::Edge;
use crate::job::Built;
use crate::keys::VertexDigest;
use crate::node::Node;
use crate::progress::journal::{Happening, Journal};
use crate::progress::{Status, Warning};

/// Handed to every method of an operation; cheap to clone.
pub struct OpContext<V> {
    /// Pulled when nobody wants the answer any more. Come back soon after.
    pub stop: CancellationToken,
    pub(crate) node: Arc<Node<V>>,
    /// The execution this is about, if it is about one: it may serve several vertices.
    pub(crate) flight: Option<Arc<Flight<V>>>,
}

impl<V> Clone for OpContext<V> {
    fn clone(&self) -> Self {
        Self { stop: self.stop.clone(), node: self.node.clone(), flight: self.flight.clone() }
    }
}

impl<V: Value> OpContext<V> {
    /// The vertex worked for; of several that share an execution, the one that started it.
    pub fn vertex(&self) -> VertexDigest {
        self.node.vertex.digest
    }

    pub fn name(&self) -> &str {
        &self.node.vertex.name
    }

    /// Solves another graph on behalf of this operation. It is cancelled with the operation and
    /// belongs to the same jobs. Fails if that graph cannot be solved without this very operation.
    pub async fn build(&self, edge: &Edge<V>) -> Result<Built<V>> {
        let outcome = match &self.flight {
            Some(flight) => self.node.board.build_for_flight(flight, &self.node, edge, &self.stop).await?,
            None => self.node.board.build_for_node(&self.node, edge, &self.stop).await?,
        };
        Ok(Built { value: outcome.value, keys: outcome.keys })
    }

    /// The client sessions of all live jobs that want this work done: any of them will do.
    pub fn sessions(&self) -> Vec<String> {
        let jobs = match &self.flight {
            Some(flight) => flight.live_jobs(),
            None => self.node.live_jobs(),
        };
        let mut sessions: Vec<String> = Vec::new();
        for session in jobs.iter().flat_map(|job| &job.sessions) {
            if !sessions.contains(session) {
                sessions.push(session.clone());
            }
        }
        sessions
    }

    /// The nearest option of type `T` that this vertex or one it depends on has put into its cache
    /// map and that `choose` takes. A lazy record is loaded with the options of the vertices that
    /// named its parts, which may be far down.
    pub fn option<T: Any + Send + Sync, R>(&self, mut choose: impl FnMut(&Arc<T>) -> Option<R>) -> Option<R> {
        self.node.nearest(|node| {
            let maps = node.known_cache_maps();
            maps.iter()
                .flat_map(|map| &map.options)
                .filter_map(|option| option.clone().downcast::<T>().ok())
                .find_map(|option| choose(&option))
        })
    }

    /// Output of a process. `stream` is 1 or 2.
    pub fn log(&self, stream: u32, data: Bytes) {
        self.journal().tell(Happening::Log { at: SystemTime::now(), stream, data });
    }

    pub fn status(&self, status: Status) {
        self.journal().tell(Happening::Status { at: SystemTime::now(), status });
    }

    pub fn warn(&self, warning: Warning) {
        self.journal().tell(Happening::Warning { at: SystemTime::now(), warning });
    }

    fn journal(&self) -> &Journal {
        match &self.flight {
            Some(flight) => &flight.journal,
            None => &self.node.journal,
        }
    }
}
