//! A graph of operations whose digests are computed when it is written down.
//!
//! A frontend learns some facts late: which paths of a context a build uses is known only after its
//! last instruction. So nodes are named by handles while they are made, may be replaced, and get
//! digests only in [`Graph::definition`]. Three things then need care, because they decide the bytes:
//!
//! | fact | consequence |
//! |---|---|
//! | two nodes may turn out to be one operation | an operation lists an input once; its indices are rewritten |
//! | their metadata and places are joined | in the order in which the nodes are visited |
//! | the order is depth-first, inputs first | a file operation visits its sources from the last to the first |

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::marshal::{WireVariables, marshal, marshal_with};
use super::{Definition, DefinitionError, Vertex, VertexDigest, pb};
use pb::file_action::Action;
use pb::op::Op as Operation;

/// A node of one [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

/// One output of a node. "No output" (scratch) is `Option::None` of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeOutput {
    pub node: NodeId,
    pub index: i64,
}

/// An operation whose inputs are nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// `inputs` is not looked at. Indices of inputs count in the field `inputs` beside it.
    pub op: pb::Op,
    pub inputs: Vec<NodeOutput>,
    /// Of a command: variables before those in `op`.
    pub variables: Option<Arc<WireVariables>>,
    /// The order in which inputs are visited where it is not that of `inputs`.
    pub visit: Option<Vec<NodeOutput>>,
    pub metadata: pb::OpMetadata,
    pub locations: Vec<pb::Location>,
}

#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl NodeId {
    pub fn output(self) -> NodeOutput {
        NodeOutput { node: self, index: 0 }
    }
}

impl Graph {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// For a node that was added before all was known about it. Its inputs must be older than it.
    pub fn replace(&mut self, id: NodeId, node: Node) {
        self.nodes[id.0] = node;
    }

    /// Adds what another definition holds, without its places: they point into sources that are not
    /// this graph's. `None` is scratch.
    pub fn import(&mut self, definition: &pb::Definition) -> Result<Option<NodeOutput>, DefinitionError> {
        let decoded = Definition::decode(definition)?;
        let mut known = HashMap::new();
        Ok(decoded.head.map(|(vertex, index)| NodeOutput {
            node: self.import_vertex(&vertex, &mut known),
            index: as_index(index),
        }))
    }

    /// Inputs first; the stack is ours because definitions come from outside and may be deep.
    fn import_vertex(&mut self, head: &Arc<Vertex>, known: &mut HashMap<VertexDigest, NodeId>) -> NodeId {
        let mut stack = vec![head.clone()];
        while let Some(vertex) = stack.last().cloned() {
            let missing = vertex.inputs.iter().find(|(input, _)| !known.contains_key(&input.digest));
            if let Some((input, _)) = missing {
                stack.push(input.clone());
                continue;
            }
            stack.pop();
            let inputs = vertex.inputs.iter().filter_map(|(input, index)| {
                Some(NodeOutput { node: *known.get(&input.digest)?, index: as_index(*index) })
            });
            let node = Node {
                inputs: inputs.collect(),
                op: pb::Op { inputs: Vec::new(), ..vertex.op.clone() },
                metadata: vertex.metadata.clone(),
                ..Node::default()
            };
            let id = self.add(node);
            known.insert(vertex.digest, id);
        }
        known.get(&head.digest).copied().unwrap_or(NodeId(0))
    }

    /// The definition of `head`. `infos` are what locations point into; they are left out where no
    /// operation has a location. Scratch is the empty definition.
    pub fn definition(&self, head: Option<NodeOutput>, infos: &[pb::SourceInfo]) -> pb::Definition {
        let order = visit(&self.nodes, head);
        write(self.nodes.len(), order, head, infos, |id| self.nodes[id.0].clone())
    }

    /// The same, without a copy of any operation.
    pub fn into_definition(mut self, head: Option<NodeOutput>, infos: &[pb::SourceInfo]) -> pb::Definition {
        let order = visit(&self.nodes, head);
        write(self.nodes.len(), order, head, infos, |id| std::mem::take(&mut self.nodes[id.0]))
    }
}

/// What `head` needs, inputs first.
fn visit(nodes: &[Node], head: Option<NodeOutput>) -> Vec<NodeId> {
    let (mut order, mut seen) = (Vec::new(), vec![false; nodes.len()]);
    let mut stack = Vec::new();
    if let Some(head) = head {
        seen[head.node.0] = true;
        stack.push((head.node, 0));
    }
    while let Some((id, next)) = stack.pop() {
        let node = &nodes[id.0];
        match node.visit.as_ref().unwrap_or(&node.inputs).get(next) {
            Some(input) => {
                stack.push((id, next + 1));
                if !std::mem::replace(&mut seen[input.node.0], true) {
                    stack.push((input.node, 0));
                }
            }
            None => order.push(id),
        }
    }
    order
}

/// `node` gives each of `order` once; there are `count` in all.
fn write(
    count: usize,
    order: Vec<NodeId>,
    head: Option<NodeOutput>,
    infos: &[pb::SourceInfo],
    mut node: impl FnMut(NodeId) -> Node,
) -> pb::Definition {
    let Some(head) = head else { return pb::Definition::default() };
    let mut writer = Writer { digests: vec![String::new(); count], ..Writer::default() };
    writer.operations.reserve_exact(order.len() + 1);
    for id in order {
        writer.write(node(id), id);
    }
    writer.finish(head, infos)
}

#[derive(Default)]
struct Writer {
    /// By node; inputs are written before their users.
    digests: Vec<String>,
    operations: Vec<Bytes>,
    metadata: BTreeMap<String, pb::OpMetadata>,
    locations: BTreeMap<String, pb::Locations>,
}

impl Writer {
    fn write(&mut self, node: Node, id: NodeId) {
        let Node { mut op, inputs, variables, metadata, locations, visit: _ } = node;
        self.set_inputs(&mut op, &inputs);
        let (digest, bytes) = match variables {
            Some(variables) => marshal_with(op, &variables),
            None => marshal(&op),
        };
        let digest = digest.0.text();
        if !locations.is_empty() {
            match self.locations.entry(digest.clone()) {
                Entry::Occupied(mut known) => known.get_mut().locations.extend(locations),
                Entry::Vacant(place) => {
                    place.insert(pb::Locations { locations });
                }
            }
        }
        self.digests[id.0].clone_from(&digest);
        match self.metadata.entry(digest) {
            Entry::Occupied(mut known) => merge(known.get_mut(), metadata),
            Entry::Vacant(place) => {
                place.insert(metadata);
                self.operations.push(bytes.into());
            }
        }
    }

    fn set_inputs(&self, op: &mut pb::Op, inputs: &[NodeOutput]) {
        // One input has no equal.
        if inputs.len() < 2 || matches!(op.op, Some(Operation::Merge(_))) {
            op.inputs = inputs.iter().map(|input| self.wire_input(*input)).collect();
            return;
        }
        op.inputs.clear();
        let mut written = HashMap::new();
        let mut places = Vec::with_capacity(inputs.len());
        for input in inputs {
            let place = *written.entry((&self.digests[input.node.0], input.index)).or_insert_with(|| {
                op.inputs.push(self.wire_input(*input));
                op.inputs.len() - 1
            });
            places.push(as_index(place));
        }
        renumber(op, &places);
    }

    fn wire_input(&self, output: NodeOutput) -> pb::Input {
        pb::Input { digest: self.digests[output.node.0].clone(), index: output.index }
    }

    fn finish(mut self, head: NodeOutput, infos: &[pb::SourceInfo]) -> pb::Definition {
        let mut caps = BTreeMap::from([("constraints".to_owned(), true), ("platform".to_owned(), true)]);
        if self.metadata.values().any(|metadata| metadata.ignore_cache) {
            caps.insert("meta.ignorecache".to_owned(), true);
        }
        if self.metadata.values().any(|metadata| !metadata.description.is_empty()) {
            caps.insert("meta.description".to_owned(), true);
        }
        let last = pb::Op { inputs: vec![self.wire_input(head)], ..pb::Op::default() };
        let (digest, bytes) = marshal(&last);
        self.operations.push(bytes.into());
        self.metadata.insert(digest.0.text(), pb::OpMetadata { caps, ..pb::OpMetadata::default() });
        let infos = if self.locations.is_empty() { Vec::new() } else { infos.to_vec() };
        pb::Definition {
            def: self.operations,
            metadata: self.metadata,
            source: Some(pb::Source { locations: self.locations, infos }),
        }
    }
}

/// `places[i]` is where the i-th input of the node went.
fn renumber(op: &mut pb::Op, places: &[i64]) {
    let written = as_index(op.inputs.len());
    let place = |index: i64| match usize::try_from(index) {
        Ok(at) => places.get(at).copied().unwrap_or(index - as_index(places.len()) + written),
        Err(_) => index,
    };
    match &mut op.op {
        Some(Operation::Exec(exec)) => {
            for mount in &mut exec.mounts {
                mount.input = place(mount.input);
            }
        }
        Some(Operation::File(file)) => {
            for action in &mut file.actions {
                action.input = place(action.input);
                action.secondary_input = place(action.secondary_input);
                let owner = match &mut action.action {
                    Some(Action::Copy(copy)) => copy.owner.as_mut(),
                    Some(Action::Mkdir(folder)) => folder.owner.as_mut(),
                    Some(Action::Mkfile(file)) => file.owner.as_mut(),
                    _ => None,
                };
                let Some(owner) = owner else { continue };
                for user in [&mut owner.user, &mut owner.group].into_iter().flatten() {
                    if let Some(pb::user_opt::User::ByName(named)) = &mut user.user {
                        named.input = place(named.input);
                    }
                }
            }
        }
        _ => {}
    }
}

fn as_index(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

fn merge(into: &mut pb::OpMetadata, from: pb::OpMetadata) {
    into.ignore_cache |= from.ignore_cache;
    into.description.extend(from.description);
    into.caps.extend(from.caps);
    into.export_cache = from.export_cache.or(into.export_cache);
    into.progress_group = from.progress_group.or(into.progress_group.take());
    into.linux_resources = from.linux_resources.or(into.linux_resources.take());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(identifier: &str) -> Node {
        let source = pb::SourceOp { identifier: identifier.to_owned(), ..pb::SourceOp::default() };
        Node { op: pb::Op { op: Some(Operation::Source(source)), ..pb::Op::default() }, ..Node::default() }
    }

    fn exec(inputs: &[NodeOutput]) -> Node {
        let mounts = (0..inputs.len())
            .map(|input| pb::Mount {
                input: as_index(input),
                dest: format!("/{input}"),
                ..pb::Mount::default()
            })
            .collect();
        let exec = pb::ExecOp { mounts, ..pb::ExecOp::default() };
        Node {
            op: pb::Op { op: Some(Operation::Exec(exec)), ..pb::Op::default() },
            inputs: inputs.to_vec(),
            ..Node::default()
        }
    }

    fn mounts(definition: &pb::Definition) -> Vec<i64> {
        let head = Definition::decode(definition).unwrap().head.unwrap().0;
        match &head.op.op {
            Some(Operation::Exec(exec)) => exec.mounts.iter().map(|mount| mount.input).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_inputs_are_listed_once() {
        let mut graph = Graph::new();
        let ids = ["a", "b", "a"].map(|name| graph.add(source(name)).output());
        let head = graph.add(exec(&ids)).output();
        let definition = graph.definition(Some(head), &[]);
        assert_eq!(definition.def.len(), 4);
        assert_eq!(mounts(&definition), [0, 1, 0]);
    }

    #[test]
    fn inputs_in_the_operation_itself_are_not_looked_at() {
        let mut graph = Graph::new();
        let ids = ["a", "b"].map(|name| graph.add(source(name)).output());
        for inputs in [&ids[..0], &ids[..1], &ids[..]] {
            let node = exec(inputs);
            let mut stale = node.clone();
            stale.op.inputs = vec![pb::Input { digest: "sha256:x".to_owned(), index: 0 }; 3];
            let heads = [node, stale].map(|node| graph.add(node).output());
            let [plain, with_stale] = heads.map(|head| graph.definition(Some(head), &[]));
            assert_eq!(plain, with_stale);
        }
    }

    #[test]
    fn a_node_may_be_replaced_after_it_was_used() {
        let mut graph = Graph::new();
        let late = graph.add(Node::default());
        let head = graph.add(exec(&[late.output()])).output();
        graph.replace(late, source("late"));
        let mut direct = Graph::new();
        let early = direct.add(source("late")).output();
        let other = direct.add(exec(&[early])).output();
        assert_eq!(graph.definition(Some(head), &[]), direct.definition(Some(other), &[]));
    }

    #[test]
    fn an_imported_graph_keeps_its_digests() {
        let mut graph = Graph::new();
        let ids = ["a", "b"].map(|name| graph.add(source(name)).output());
        let head = graph.add(exec(&ids)).output();
        let definition = graph.definition(Some(head), &[]);
        let mut other = Graph::new();
        let imported = other.import(&definition).unwrap();
        assert_eq!(other.definition(imported, &[]).def, definition.def);
    }

    #[test]
    fn places_of_equal_operations_are_joined() {
        let mut graph = Graph::new();
        let at = |index| vec![pb::Location { source_index: index, ranges: Vec::new() }];
        let ids = [1, 2].map(|index| graph.add(Node { locations: at(index), ..source("a") }).output());
        let head = graph.add(exec(&ids)).output();
        let definition = graph.definition(Some(head), &[pb::SourceInfo::default()]);
        let source = definition.source.unwrap();
        let joined: Vec<_> = source.locations.values().map(|places| places.locations.len()).collect();
        assert_eq!((joined, source.infos.len()), (vec![2], 1));
    }

    #[test]
    fn scratch_is_the_empty_definition() {
        assert_eq!(Graph::new().definition(None, &[pb::SourceInfo::default()]), pb::Definition::default());
    }
}
