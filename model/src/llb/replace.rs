//! A definition in which some sources are others.
//!
//! An operation is known by its bytes, so one that is replaced gets another digest, and so does whatever is built on
//! it. Everything else keeps its bytes. What the definition says beside its operations (metadata, places in files)
//! follows them to their new names.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use super::marshal::marshal;
use super::pb::{self, op::Op as Kind};
use crate::Digest;

/// The sources of `definition`, each with its place in it. Bytes that are no operation are passed over: whoever
/// decodes the definition complains about them.
pub fn sources(definition: &pb::Definition) -> Vec<(usize, pb::Op)> {
    let decoded = definition.def.iter().map(|bytes| pb::Op::decode(bytes.clone()));
    let found = decoded.enumerate().filter_map(|(index, op)| Some((index, op.ok()?)));
    found.filter(|(_, op)| matches!(op.op, Some(Kind::Source(_)))).collect()
}

/// `definition` with the operations of `replaced` in the places that they name.
pub fn replace(definition: &pb::Definition, replaced: &HashMap<usize, pb::Op>) -> pb::Definition {
    let mut renamed: HashMap<String, String> = HashMap::new();
    let def = definition.def.iter().enumerate().map(|(index, bytes)| {
        let op = match replaced.get(&index) {
            Some(op) => Some(op.clone()),
            None => renamed_inputs(bytes, &renamed),
        };
        let Some(op) = op else { return bytes.clone() };
        let (vertex, marshalled) = marshal(&op);
        renamed.insert(Digest::of(bytes).to_string(), vertex.to_string());
        Bytes::from(marshalled)
    });
    let def = def.collect();
    let name = |digest: &String| renamed.get(digest).unwrap_or(digest).clone();
    let metadata =
        definition.metadata.iter().map(|(digest, metadata)| (name(digest), metadata.clone())).collect();
    let source = definition.source.as_ref().map(|source| pb::Source {
        locations: source.locations.iter().map(|(digest, places)| (name(digest), places.clone())).collect(),
        infos: source.infos.clone(),
    });
    pb::Definition { def, metadata, source }
}

/// The operation with the new names of its inputs; `None` if all have the old ones.
fn renamed_inputs(bytes: &Bytes, renamed: &HashMap<String, String>) -> Option<pb::Op> {
    if renamed.is_empty() {
        return None;
    }
    let mut op = pb::Op::decode(bytes.clone()).ok()?;
    let mut changed = false;
    for input in &mut op.inputs {
        if let Some(name) = renamed.get(&input.digest) {
            input.digest.clone_from(name);
            changed = true;
        }
    }
    changed.then_some(op)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llb::{Definition, Graph, Node};

    fn image(name: &str) -> pb::Op {
        let source = pb::SourceOp { identifier: format!("docker-image://{name}"), ..Default::default() };
        pb::Op { op: Some(Kind::Source(source)), ..Default::default() }
    }

    /// Two images, a merge of them, and a step on that.
    fn graph() -> pb::Definition {
        let mut graph = Graph::new();
        let named = |name: &str| {
            let description = [("name".to_owned(), name.to_owned())].into();
            let metadata = pb::OpMetadata { description, ..Default::default() };
            Node { op: image(name), metadata, ..Node::default() }
        };
        let (a, b) = (graph.add(named("a")).output(), graph.add(named("b")).output());
        let merge = pb::MergeOp { inputs: vec![pb::MergeInput { input: 0 }, pb::MergeInput { input: 1 }] };
        let merge = pb::Op { op: Some(Kind::Merge(merge)), ..Default::default() };
        let merged = graph.add(Node { op: merge, inputs: vec![a, b], ..Node::default() }).output();
        graph.definition(Some(merged), &[])
    }

    fn sources_of(definition: &pb::Definition) -> Vec<(String, String)> {
        let decoded = Definition::decode(definition).unwrap();
        let (head, _) = decoded.head.unwrap();
        let named = |(vertex, _): &(std::sync::Arc<crate::llb::Vertex>, usize)| {
            let Some(Kind::Source(source)) = &vertex.op.op else { panic!("{:?}", vertex.op) };
            let name = vertex.metadata.description.get("name").cloned().unwrap_or_default();
            (source.identifier.clone(), name)
        };
        head.inputs.iter().map(named).collect()
    }

    #[test]
    fn what_is_built_on_a_replaced_source_names_the_new_one() {
        let before = graph();
        let found = sources(&before);
        let at = found.iter().find(|(_, op)| *op == image("a")).expect("a source").0;
        let after = replace(&before, &[(at, image("c"))].into());
        let expected = [("docker-image://c", "a"), ("docker-image://b", "b")];
        assert_eq!(sources_of(&after), expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
        let kept = before.def.iter().filter(|bytes| after.def.contains(bytes)).count();
        assert_eq!(kept, 1, "the other image keeps its bytes; the merge and the head do not");
    }

    #[test]
    fn nothing_replaced_is_nothing_changed() {
        assert_eq!(replace(&graph(), &HashMap::new()), graph());
    }
}
