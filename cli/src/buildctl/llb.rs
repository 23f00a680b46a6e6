//! `buildctl debug dump-llb`: a definition that people can read. No daemon is asked.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use prost::Message;
use serde_json::json;
use slipway_model::Digest;
use slipway_proto::pb::{self, file_action::Action, op::Op};

use super::flags::DumpFlags;
use crate::error::Failure;

/// More is no definition that any daemon takes.
const LARGEST: u64 = 64 << 20;

pub fn dump(flags: &DumpFlags) -> Result<(), Failure> {
    let definition = match flags.file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let file = File::open(path)
                .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
            read(file.take(LARGEST))?
        }
        None => read(std::io::stdin().lock().take(LARGEST))?,
    };
    let mut operations = Vec::new();
    for (index, bytes) in definition.def.iter().enumerate() {
        let op = pb::Op::decode(bytes.clone())
            .map_err(|error| Failure::new(format!("operation {index} cannot be decoded: {error}")))?;
        operations.push((Digest::of(bytes).to_string(), op));
    }
    if flags.dot {
        print!("{}", dot(&operations));
        return Ok(());
    }
    for (digest, op) in &operations {
        let metadata = definition.metadata.get(digest);
        let (name, _) = label(digest, op);
        let inputs: Vec<_> =
            op.inputs.iter().map(|input| json!({ "digest": input.digest, "index": input.index })).collect();
        println!(
            "{}",
            json!({
                "Digest": digest,
                "Name": name,
                "Op": { "inputs": inputs, "kind": kind(op), "text": format!("{:?}", op.op) },
                "OpMetadata": metadata.map(|metadata| json!({
                    "ignore_cache": metadata.ignore_cache,
                    "description": metadata.description,
                })),
            })
        );
    }
    Ok(())
}

/// The wire's form of a definition.
pub fn read(mut input: impl Read) -> Result<pb::Definition, Failure> {
    let mut bytes = Vec::new();
    input
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(format!("cannot read the definition: {error}")))?;
    pb::Definition::decode(&bytes[..])
        .map_err(|error| Failure::usage(format!("this is no definition: {error}")))
}

fn kind(op: &pb::Op) -> &'static str {
    match &op.op {
        Some(Op::Exec(_)) => "exec",
        Some(Op::Source(_)) => "source",
        Some(Op::File(_)) => "file",
        Some(Op::Build(_)) => "build",
        Some(Op::Merge(_)) => "merge",
        Some(Op::Diff(_)) => "diff",
        Some(Op::Passthrough(_)) => "passthrough",
        None => "result",
    }
}

fn dot(operations: &[(String, pb::Op)]) -> String {
    let mut lines = vec!["digraph {".to_owned()];
    for (digest, op) in operations {
        let (name, shape) = label(digest, op);
        lines.push(format!("  {digest:?} [label={name:?} shape={shape:?}];"));
    }
    for (digest, op) in operations {
        for (index, input) in op.inputs.iter().enumerate() {
            let place = mount(op, index).unwrap_or_default();
            lines.push(format!("  {:?} -> {digest:?} [label={place:?}];", input.digest));
        }
    }
    lines.push("}\n".into());
    lines.join("\n")
}

/// Where a step sees its nth input, if not as its root.
fn mount(op: &pb::Op, input: usize) -> Option<&str> {
    let Some(Op::Exec(exec)) = &op.op else { return None };
    let is_it = |mount: &&pb::Mount| usize::try_from(mount.input).is_ok_and(|index| index == input);
    let mount = exec.mounts.iter().filter(is_it).find(|mount| mount.dest != "/")?;
    Some(&mount.dest)
}

/// What an operation is about, and its shape for Graphviz.
fn label(digest: &str, op: &pb::Op) -> (String, &'static str) {
    match &op.op {
        Some(Op::Source(source)) => (source.identifier.clone(), "ellipse"),
        Some(Op::Exec(exec)) => {
            (exec.meta.as_ref().map(|meta| meta.args.join(" ")).unwrap_or_default(), "box")
        }
        Some(Op::Build(_)) => ("build".into(), "box3d"),
        Some(Op::Merge(_)) => ("merge".into(), "invtriangle"),
        Some(Op::Diff(_)) => ("diff".into(), "doublecircle"),
        Some(Op::File(file)) => {
            let names: Vec<String> =
                file.actions.iter().filter_map(|action| action.action.as_ref()).map(file_action).collect();
            (names.join(","), "note")
        }
        Some(Op::Passthrough(_)) | None => (digest.to_owned(), "plaintext"),
    }
}

fn file_action(action: &Action) -> String {
    match action {
        Action::Copy(copy) => format!("copy{{src={}, dest={}}}", copy.src, copy.dest),
        Action::Mkfile(file) => format!("mkfile{{path={}}}", file.path),
        Action::Mkdir(folder) => format!("mkdir{{path={}}}", folder.path),
        Action::Rm(removed) => format!("rm{{path={}}}", removed.path),
        Action::Symlink(link) => format!("symlink{{oldpath={}, newpath={}}}", link.oldpath, link.newpath),
    }
}
