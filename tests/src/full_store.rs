//! A daemon whose store is filled with as many records as wanted, without a client's weight: graphs of small
//! files, handed in as definitions.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use slipway_model::llb::{Graph, Node, NodeOutput};
use slipway_proto::control::{DiskUsageRequest, PruneRequest, SolveRequest};
use slipway_proto::pb;
use slipway_proto::pb::file_action::Action;

use crate::{Daemon, wire};

/// Vertices of one graph.
const WIDTH: usize = 1000;

/// Makes `count` records, numbered from `first` on; each a file on nothing.
pub async fn fill(daemon: &Daemon, first: usize, count: usize) -> Result<Duration> {
    let mut control = wire::control(daemon).await;
    let began = Instant::now();
    let mut next = first;
    while next < first + count {
        let width = WIDTH.min(first + count - next);
        let request = SolveRequest {
            r#ref: format!("fill-{next}"),
            definition: Some(files(next, width)),
            ..SolveRequest::default()
        };
        control.solve(request).await.context("a graph of files")?;
        next += width;
    }
    Ok(began.elapsed())
}

/// `width` files, and one more that needs all of them.
fn files(first: usize, width: usize) -> pb::Definition {
    let mut graph = Graph::new();
    let leaves: Vec<NodeOutput> = (first..first + width - 1)
        .map(|number| graph.add(file(&format!("/{number}"), Vec::new())).output())
        .collect();
    let last = graph.add(file(&format!("/last-{first}"), leaves)).output();
    graph.definition(Some(last), &[])
}

fn file(path: &str, inputs: Vec<NodeOutput>) -> Node {
    let make = pb::FileActionMkFile { path: path.into(), mode: 0o644, timestamp: 1, ..Default::default() };
    let action =
        pb::FileAction { input: -1, secondary_input: -1, output: 0, action: Some(Action::Mkfile(make)) };
    let op = pb::Op {
        op: Some(pb::op::Op::File(pb::FileOp { actions: vec![action] })),
        platform: Some(pb::Platform {
            os: "linux".into(),
            architecture: "amd64".into(),
            ..Default::default()
        }),
        constraints: Some(pb::WorkerConstraints::default()),
        ..pb::Op::default()
    };
    Node { op, inputs, ..Node::default() }
}

/// How many records there are, and how long it took to hear of all.
pub async fn list(daemon: &Daemon) -> Result<(usize, Duration)> {
    let mut control = wire::control(daemon).await;
    let began = Instant::now();
    let usage = control.disk_usage(DiskUsageRequest::default()).await?.into_inner();
    Ok((usage.record.len(), began.elapsed()))
}

/// How many records went, and how long it took.
pub async fn prune(daemon: &Daemon) -> Result<(usize, Duration)> {
    let mut control = wire::control(daemon).await;
    let began = Instant::now();
    let request = PruneRequest { all: true, ..PruneRequest::default() };
    let mut removed = control.prune(request).await?.into_inner();
    let mut count = 0;
    while removed.message().await?.is_some() {
        count += 1;
    }
    Ok((count, began.elapsed()))
}
