//! LLB, the build graph as frontends write it and the solver's workers read it.
//!
//! A definition is a list of serialised operations in topological order. The digest of an
//! operation's bytes is its identity (its *vertex*), and inputs name vertices by that digest. So the
//! bytes are never encoded again once they exist: what arrives is hashed and kept as it came.
//!
//! The operations themselves are used as the wire types of `slipway_proto::pb`: a second set of
//! structs could only add ways to get a digest wrong (see `docs/adr/0001-own-wire-types.md`).

pub mod definition;
pub mod graph;
pub mod json;
pub mod marshal;
pub mod replace;

pub use definition::{Definition, DefinitionError, Vertex, VertexDigest};
pub use graph::{Graph, Node, NodeId, NodeOutput};
pub use marshal::WireVariables;
pub use slipway_proto::pb;
