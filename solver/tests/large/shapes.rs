//! Graphs of a hundred thousand vertices: deep, wide, and layered. Shared with `benches/cached.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use slipway_solver::*;

/// Adds what it is given.
struct Sum {
    digest: OpDigest,
    inputs: usize,
}

#[async_trait]
impl Op<u64> for Sum {
    async fn cache_map(&self, _: &OpContext<u64>, _: usize) -> OpResult<CacheMap<u64>> {
        Ok(CacheMap::new(self.digest, self.inputs))
    }

    async fn exec(&self, _: &OpContext<u64>, inputs: Vec<u64>) -> OpResult<Vec<u64>> {
        Ok(vec![inputs.iter().fold(1, |sum, input| sum.wrapping_add(*input))])
    }
}

fn vertex(name: &str, inputs: Vec<Edge<u64>>) -> Edge<u64> {
    let digest = Digest::of(name);
    let vertex = Vertex {
        digest: VertexDigest(digest),
        name: name.to_owned(),
        ignore_cache: false,
        progress_group: None,
        op: Arc::new(Sum { digest: OpDigest(digest), inputs: inputs.len() }),
        inputs,
    };
    Edge { vertex: Arc::new(vertex), output: 0 }
}

/// One after the other.
pub fn chain(count: usize) -> Edge<u64> {
    let root = vertex("chain", Vec::new());
    (1..count).fold(root, |below, depth| vertex(&format!("chain {depth}"), vec![below]))
}

/// All side by side, below one.
pub fn wide(count: usize) -> Edge<u64> {
    let roots = (1..count).map(|root| vertex(&format!("wide {root}"), Vec::new())).collect();
    vertex("wide", roots)
}

/// Layers of ten, each vertex on three of the layer below: more ways through than there are atoms.
pub fn layers(count: usize) -> Edge<u64> {
    let mut layer: Vec<_> = (0..10).map(|n| vertex(&format!("layers 0.{n}"), Vec::new())).collect();
    for depth in 1..(count / 10).max(1) {
        let on = |n: usize| (0..3).map(|next| layer[(n + next) % layer.len()].clone()).collect();
        layer = (0..10).map(|n| vertex(&format!("layers {depth}.{n}"), on(n))).collect();
    }
    vertex("layers", layer)
}

/// Makes a graph of about so many vertices.
pub type Shape = fn(usize) -> Edge<u64>;

pub const SHAPES: [(&str, Shape); 3] = [("chain", chain), ("wide", wide), ("layers", layers)];

/// Builds `edge` in a job of its own, and takes everything down.
#[allow(dead_code, reason = "the benchmark looks at what is in between")]
pub async fn build(solver: &Solver<u64>, edge: &Edge<u64>) -> Result<u64> {
    let job = job(solver);
    let built = job.build(edge).await;
    job.discard().await;
    Ok(built?.value)
}

/// A job that nobody watches.
pub fn job(solver: &Solver<u64>) -> Job<u64> {
    solver.job(JobOptions {
        id: "job".into(),
        sessions: Vec::new(),
        progress: Arc::new(Silent),
        imports: Vec::new(),
        parallelism: None,
    })
}

/// The most memory this process ever used.
pub fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}
