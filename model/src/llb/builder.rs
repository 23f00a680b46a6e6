//! Writing definitions: add operations, get outputs, marshal what one output needs.
//!
//! Equal operations become one vertex whose metadata and locations are merged.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::{VertexDigest, marshal::marshal, pb};

/// One output of an operation that was added to a [`Builder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    pub vertex: VertexDigest,
    pub index: usize,
}

/// Operations by digest; an operation can only name inputs that were added before it.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    vertices: HashMap<VertexDigest, Added>,
}

#[derive(Clone, Debug)]
struct Added {
    bytes: Bytes,
    inputs: Vec<VertexDigest>,
    metadata: pb::OpMetadata,
    locations: Vec<pb::Location>,
}

impl Builder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `op`, whose inputs are `inputs` in order; `op.inputs` is overwritten with them.
    pub fn add(
        &mut self,
        mut op: pb::Op,
        inputs: &[Output],
        metadata: pb::OpMetadata,
        location: Option<pb::Location>,
    ) -> VertexDigest {
        op.inputs = inputs.iter().map(wire_input).collect();
        let (digest, bytes) = marshal(&op);
        let added = self.vertices.entry(digest).or_insert_with(|| Added {
            bytes: bytes.into(),
            inputs: inputs.iter().map(|input| input.vertex).collect(),
            metadata: pb::OpMetadata::default(),
            locations: Vec::new(),
        });
        merge_metadata(&mut added.metadata, metadata);
        added.locations.extend(location);
        digest
    }

    /// The definition that ends in `head`: its ancestors in depth-first post-order, then the head.
    pub fn definition(
        &self,
        head: Output,
        head_metadata: pb::OpMetadata,
        infos: Vec<pb::SourceInfo>,
    ) -> pb::Definition {
        let mut definition = pb::Definition::default();
        let mut locations = BTreeMap::new();
        for digest in self.post_order(head.vertex) {
            let added = &self.vertices[&digest];
            definition.def.push(added.bytes.clone());
            definition.metadata.insert(digest.to_string(), added.metadata.clone());
            if !added.locations.is_empty() {
                locations.insert(digest.to_string(), pb::Locations { locations: added.locations.clone() });
            }
        }
        let (digest, bytes) = marshal(&pb::Op { inputs: vec![wire_input(&head)], ..pb::Op::default() });
        definition.def.push(bytes.into());
        definition.metadata.insert(digest.to_string(), head_metadata);
        definition.source = Some(pb::Source { locations, infos });
        definition
    }

    fn post_order(&self, head: VertexDigest) -> Vec<VertexDigest> {
        let (mut order, mut seen) = (Vec::new(), HashSet::from([head]));
        let mut stack = vec![(head, 0)];
        while let Some((digest, next)) = stack.pop() {
            match self.vertices[&digest].inputs.get(next) {
                Some(input) => {
                    stack.push((digest, next + 1));
                    if seen.insert(*input) {
                        stack.push((*input, 0));
                    }
                }
                None => order.push(digest),
            }
        }
        order
    }
}

fn wire_input(output: &Output) -> pb::Input {
    pb::Input { digest: output.vertex.to_string(), index: output.index as i64 }
}

fn merge_metadata(into: &mut pb::OpMetadata, from: pb::OpMetadata) {
    into.ignore_cache |= from.ignore_cache;
    into.description.extend(from.description);
    into.caps.extend(from.caps);
    into.export_cache = from.export_cache.or(into.export_cache);
    into.progress_group = from.progress_group.or(into.progress_group.take());
    into.linux_resources = from.linux_resources.or(into.linux_resources.take());
}
