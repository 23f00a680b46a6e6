//! A decoded and checked definition: a graph that can be walked without meeting a surprise.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::pb;
use crate::Digest;
use crate::digest::digest_of;

digest_of! {
    /// The digest of an operation's bytes: the identity of a vertex.
    VertexDigest
}

/// More operations than this in one definition is refused.
const MOST_OPERATIONS: usize = 1_000_000;

/// One operation and what it was written with.
#[derive(Clone, Debug)]
pub struct Vertex {
    pub digest: VertexDigest,
    pub op: pb::Op,
    /// The operation as it came; hash and forward these, never re-encoded ones.
    pub bytes: Bytes,
    pub metadata: pb::OpMetadata,
    /// The vertices that `op.inputs` names, in that order, each with the output taken.
    pub inputs: Vec<(Arc<Vertex>, usize)>,
}

impl Drop for Vertex {
    /// A loop: the end of a deep graph must not take the stack with it.
    fn drop(&mut self) {
        let mut loose = std::mem::take(&mut self.inputs);
        while let Some((vertex, _)) = loose.pop() {
            if let Some(mut last) = Arc::into_inner(vertex) {
                loose.append(&mut last.inputs);
            }
        }
    }
}

/// The graph below one output of one vertex. `None` inside is scratch: an empty filesystem.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    pub head: Option<(Arc<Vertex>, usize)>,
    pub source: pb::Source,
}

/// Why bytes are not a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    #[error("operation {index} of the definition cannot be decoded: {reason}")]
    Decode { index: usize, reason: String },
    #[error("operation {vertex} names the input {input:?}, which is not before it in the definition")]
    MissingInput { vertex: VertexDigest, input: String },
    #[error("operation {vertex} takes output {index} of an input")]
    OutputIndex { vertex: VertexDigest, index: i64 },
    #[error("the definition's last entry must name exactly one input, it names {0}")]
    Head(usize),
    #[error("the definition has {0} operations, at most {MOST_OPERATIONS} are accepted")]
    TooLarge(usize),
}

impl Definition {
    /// Decodes and checks `wire`: every input is known, every index is in range, and (since inputs
    /// come before their users) there is no cycle.
    pub fn decode(wire: &pb::Definition) -> Result<Self, DefinitionError> {
        if wire.def.len() > MOST_OPERATIONS {
            return Err(DefinitionError::TooLarge(wire.def.len()));
        }
        let source = wire.source.clone().unwrap_or_default();
        let Some((last, rest)) = wire.def.split_last() else {
            return Ok(Self { head: None, source });
        };
        let mut known: HashMap<String, Arc<Vertex>> = HashMap::with_capacity(rest.len());
        for (index, bytes) in rest.iter().enumerate() {
            let vertex = decode_vertex(index, bytes, wire, &known)?;
            known.insert(vertex.digest.to_string(), Arc::new(vertex));
        }
        let mut head = decode_vertex(rest.len(), last, wire, &known)?;
        match head.inputs.len() {
            1 => Ok(Self { head: head.inputs.pop(), source }),
            other => Err(DefinitionError::Head(other)),
        }
    }
}

fn decode_vertex(
    index: usize,
    bytes: &Bytes,
    wire: &pb::Definition,
    known: &HashMap<String, Arc<Vertex>>,
) -> Result<Vertex, DefinitionError> {
    let op = pb::Op::decode(bytes.clone())
        .map_err(|error| DefinitionError::Decode { index, reason: error.to_string() })?;
    let digest = VertexDigest(Digest::of(bytes));
    let mut inputs = Vec::with_capacity(op.inputs.len());
    for input in &op.inputs {
        let vertex = known
            .get(&input.digest)
            .ok_or_else(|| DefinitionError::MissingInput { vertex: digest, input: input.digest.clone() })?;
        let output = usize::try_from(input.index)
            .map_err(|_| DefinitionError::OutputIndex { vertex: digest, index: input.index })?;
        inputs.push((vertex.clone(), output));
    }
    let metadata = wire.metadata.get(&digest.to_string()).cloned().unwrap_or_default();
    Ok(Vertex { digest, op, bytes: bytes.clone(), metadata, inputs })
}
