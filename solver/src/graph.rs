//! What is to be solved: vertices and the edges between them.

use std::sync::Arc;

use crate::keys::VertexDigest;
use crate::op::Op;
use crate::progress::ProgressGroup;

/// One step of a build and the steps it needs.
pub struct Vertex<V> {
    /// Checksum of the definition up to here. Equal digest, same vertex.
    pub digest: VertexDigest,
    /// For people: `[build 2/3] RUN make`.
    pub name: String,
    pub inputs: Vec<Edge<V>>,
    /// Run even if a cached result exists ("forced"). What it makes is saved all the same.
    pub ignore_cache: bool,
    /// Under which heading progress shows it.
    pub progress_group: Option<ProgressGroup>,
    pub op: Arc<dyn Op<V>>,
}

/// One output of a vertex.
pub struct Edge<V> {
    pub vertex: Arc<Vertex<V>>,
    pub output: usize,
}

impl<V> Edge<V> {
    pub fn new(vertex: &Arc<Vertex<V>>, output: usize) -> Self {
        Self { vertex: vertex.clone(), output }
    }
}

impl<V> Clone for Edge<V> {
    fn clone(&self) -> Self {
        Self::new(&self.vertex, self.output)
    }
}

/// Graphs come from outside and may be a hundred thousand steps deep: they are taken apart in a
/// loop, because nested drops would need as much stack.
impl<V> Drop for Vertex<V> {
    fn drop(&mut self) {
        let mut edges = std::mem::take(&mut self.inputs);
        while let Some(edge) = edges.pop() {
            if let Some(mut vertex) = Arc::into_inner(edge.vertex) {
                edges.append(&mut vertex.inputs);
            }
        }
    }
}
