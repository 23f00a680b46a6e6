//! From a manifest to a build graph.
//!
//! ```text
//! base image ─┐
//!             ├─ copy the sources to /app ─ run the command, with the cache ─> the image's tree
//! sources ────┘
//! ```

use std::collections::BTreeMap;

use slipway_model::llb::pb::{self, op::Op};
use slipway_model::llb::{Graph, Node, NodeOutput};

use crate::manifest::Manifest;

/// Where the sources are in the image.
pub const APP: &str = "/app";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The folder of the client that the manifest is in, with nothing else of it.
pub fn manifest_source(file: &str) -> pb::Definition {
    let follow = format!("[{:?}]", file);
    let attributes = [("local.followpaths", follow.as_str()), ("local.sharedkeyhint", file)];
    finish(source("local://dockerfile", &attributes, "load packs.toml"))
}

/// The tree of the image. `environment` is that of the base image.
pub fn image(manifest: &Manifest, base: &str, environment: &[String]) -> pb::Definition {
    let mut graph = Graph::new();
    let base = graph.add(source(&format!("docker-image://{base}"), &[], "base image")).output();
    let sources = [("local.sharedkeyhint", "context")];
    let sources = graph.add(source("local://context", &sources, "load the sources")).output();
    let copied = graph.add(copy(base, sources)).output();
    let built = graph.add(run(manifest, copied, environment)).output();
    graph.definition(Some(built), &[])
}

fn finish(node: Node) -> pb::Definition {
    let mut graph = Graph::new();
    let head = graph.add(node).output();
    graph.definition(Some(head), &[])
}

fn node(op: Op, inputs: Vec<NodeOutput>, name: &str) -> Node {
    let description = BTreeMap::from([("llb.customname".to_owned(), format!("[packs] {name}"))]);
    Node {
        op: pb::Op { op: Some(op), ..pb::Op::default() },
        inputs,
        metadata: pb::OpMetadata { description, ..pb::OpMetadata::default() },
        ..Node::default()
    }
}

fn source(identifier: &str, attributes: &[(&str, &str)], name: &str) -> Node {
    let attrs = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    node(Op::Source(pb::SourceOp { identifier: identifier.to_owned(), attrs }), Vec::new(), name)
}

fn copy(base: NodeOutput, sources: NodeOutput) -> Node {
    let copy = pb::FileActionCopy {
        src: "/".into(),
        dest: APP.into(),
        mode: -1,
        dir_copy_contents: true,
        create_dest_path: true,
        timestamp: -1,
        ..pb::FileActionCopy::default()
    };
    let action = pb::FileAction {
        input: 0,
        secondary_input: 1,
        output: 0,
        action: Some(pb::file_action::Action::Copy(copy)),
    };
    node(Op::File(pb::FileOp { actions: vec![action] }), vec![base, sources], "copy the sources")
}

fn run(manifest: &Manifest, root: NodeOutput, environment: &[String]) -> Node {
    let mut env = environment.to_vec();
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.push(PATH.to_owned());
    }
    let mut mounts = vec![pb::Mount { dest: "/".into(), input: 0, output: 0, ..pb::Mount::default() }];
    if let Some(cache) = &manifest.cache {
        mounts.push(pb::Mount {
            dest: cache.clone(),
            input: -1,
            output: -1,
            mount_type: pb::MountType::Cache.into(),
            cache_opt: Some(pb::CacheOpt { id: format!("packs{cache}"), ..pb::CacheOpt::default() }),
            ..pb::Mount::default()
        });
    }
    let meta = pb::Meta {
        args: vec!["/bin/sh".into(), "-c".into(), manifest.build.clone()],
        env,
        cwd: APP.into(),
        ..pb::Meta::default()
    };
    let exec = pb::ExecOp { meta: Some(meta), mounts, ..pb::ExecOp::default() };
    node(Op::Exec(exec), vec![root], &manifest.build)
}
