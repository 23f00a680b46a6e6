//! Operations on files: copying, making folders and small files, merging layers.
//!
//! The actions of one operation are chained: the first works on the base, each later one on the result
//! of the one before. Inputs are numbered first, results of actions after them.

use slipway_model::lexical::absolute_text;
use slipway_model::llb::{Node, NodeOutput, pb};

use super::capabilities::{FILE_BASE, MERGE};
use super::metadata::{Metadata, internal};
use crate::dockerfile::instruction::{Owner, Ownership};

use pb::file_action::Action;

/// A copy that waits for the numbers of its inputs.
#[derive(Clone, Debug)]
pub(super) struct CopyAction {
    /// `None` is scratch.
    pub(super) from: Option<NodeOutput>,
    /// `owner` is set by [`copies`].
    pub(super) copy: pb::FileActionCopy,
}

/// One operation with a copy for each of `actions`. `owner` as `--chown` writes it.
pub(super) fn copies(
    base: Option<NodeOutput>,
    actions: Vec<CopyAction>,
    owner: &str,
    metadata: Metadata,
) -> Node {
    let mut inputs: Vec<NodeOutput> = base.into_iter().collect();
    let base_index = if base.is_some() { 0 } else { -1 };
    let mut secondary = Vec::new();
    for action in &actions {
        secondary.push(action.from.map_or(-1, |from| {
            inputs.push(from);
            as_index(inputs.len() - 1)
        }));
    }
    // The reference walks the chain from its end.
    let visit: Vec<NodeOutput> =
        base.into_iter().chain(actions.iter().rev().filter_map(|action| action.from)).collect();
    let last = actions.len().saturating_sub(1);
    let wire = actions.into_iter().zip(secondary).enumerate().map(|(index, (action, secondary_input))| {
        let copy = pb::FileActionCopy { owner: ownership(owner, base_index), ..action.copy };
        pb::FileAction {
            input: if index == 0 { base_index } else { as_index(inputs.len() + index - 1) },
            secondary_input,
            output: if index == last { 0 } else { -1 },
            action: Some(Action::Copy(copy)),
        }
    });
    let actions = wire.collect();
    Node { visit: Some(visit), ..node(actions, inputs, metadata) }
}

/// A folder with its parents; `time` in nanoseconds, -1 for the time it is made.
pub(super) fn make_folder(
    base: Option<NodeOutput>,
    folder: pb::FileActionMkDir,
    owner: &str,
    metadata: Metadata,
) -> Node {
    let base_index = if base.is_some() { 0 } else { -1 };
    let folder = pb::FileActionMkDir { owner: ownership(owner, base_index), ..folder };
    node(vec![single(base_index, Action::Mkdir(folder))], base.into_iter().collect(), metadata)
}

/// A small file on scratch, written in the Dockerfile itself.
pub(super) fn inline_file(name: &str, mode: i32, data: String) -> Node {
    let path = absolute_text(name);
    let file = pb::FileActionMkFile {
        path,
        mode,
        data: data.into(),
        timestamp: -1,
        ..pb::FileActionMkFile::default()
    };
    node(vec![single(-1, Action::Mkfile(file))], Vec::new(), internal("preparing inline document"))
}

/// What is in `folder` of `from`, as a tree of its own.
pub(crate) fn copy_contents(from: Option<NodeOutput>, folder: &str) -> Node {
    let copy = pb::FileActionCopy { dir_copy_contents: true, ..plain_copy(absolute_text(folder), "/") };
    copies(None, vec![CopyAction { from, copy }], "", Metadata::default())
}

/// The contents of an archive, as a tree of its own.
pub(crate) fn unpack(from: NodeOutput, archive: &str) -> Node {
    let copy = pb::FileActionCopy {
        attempt_unpack_docker_compatibility: true,
        ..plain_copy(archive.to_owned(), "/")
    };
    copies(None, vec![CopyAction { from: Some(from), copy }], "", Metadata::default())
}

/// A copy that keeps modes and times.
pub(super) fn plain_copy(src: String, dest: &str) -> pb::FileActionCopy {
    pb::FileActionCopy {
        src,
        dest: dest.to_owned(),
        mode: -1,
        timestamp: -1,
        ..pb::FileActionCopy::default()
    }
}

/// `upper` on `lower`; neither changes the other.
pub(super) fn merge(lower: NodeOutput, upper: NodeOutput, metadata: Metadata) -> Node {
    let inputs = vec![pb::MergeInput { input: 0 }, pb::MergeInput { input: 1 }];
    Node {
        op: operation(pb::op::Op::Merge(pb::MergeOp { inputs })),
        inputs: vec![lower, upper],
        metadata: metadata.capability(MERGE).finish(),
        ..Node::default()
    }
}

fn single(input: i64, action: Action) -> pb::FileAction {
    pb::FileAction { input, secondary_input: -1, output: 0, action: Some(action) }
}

fn node(actions: Vec<pb::FileAction>, inputs: Vec<NodeOutput>, metadata: Metadata) -> Node {
    Node {
        op: operation(pb::op::Op::File(pb::FileOp { actions })),
        inputs,
        metadata: metadata.capability(FILE_BASE).finish(),
        ..Node::default()
    }
}

fn operation(op: pb::op::Op) -> pb::Op {
    pb::Op { constraints: Some(pb::WorkerConstraints::default()), op: Some(op), ..pb::Op::default() }
}

/// `user[:group]`; names are looked up in the base, whose input is `base`.
fn ownership(text: &str, base: i64) -> Option<pb::ChownOpt> {
    if text.is_empty() {
        return None;
    }
    let Ownership { user, group } = Ownership::parse(text);
    Some(pb::ChownOpt {
        user: Some(wire_owner(user, base)),
        group: group.map(|group| wire_owner(group, base)),
    })
}

fn wire_owner(owner: Owner, base: i64) -> pb::UserOpt {
    use pb::user_opt::User;
    // The wire has no sign: the reference's numbers wrap as well.
    pb::UserOpt {
        user: Some(match owner {
            Owner::Id(id) => User::ById(id.cast_unsigned()),
            Owner::Name(name) => User::ByName(pb::NamedUserOpt { name, input: base }),
        }),
    }
}

fn as_index(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}
