//! What a cached vertex costs, in-process: `cargo bench -p slipway-solver`.
//!
//! The goal is below 100 µs per vertex in graphs of a thousand, from the graph as it was received to
//! the result, the job discarded. Graphs of a hundred thousand are there to see that it stays linear.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]
#![allow(unreachable_pub, reason = "the shapes are shared with a test")]

#[path = "../tests/large/shapes.rs"]
mod shapes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use shapes::{SHAPES, build, peak_megabytes};
use slipway_solver::*;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{:>8} {:>9} {:>12} {:>12}", "shape", "vertices", "µs, ran", "µs, cached");
    for count in [1_000, 100_000] {
        for (name, shape) in SHAPES {
            let store = Arc::new(MemoryRecords::new("memory"));
            let each = |took: Duration| took.as_secs_f64() * 1e6 / count as f64;
            let once = || {
                let solver = Solver::new(SolverOptions { store: store.clone() });
                let begin = Instant::now();
                let graph = shape(count);
                runtime.block_on(build(&solver, &graph)).unwrap();
                drop(graph);
                each(begin.elapsed())
            };
            let ran = once();
            let mut cached: Vec<_> = (0..5).map(|_| once()).collect();
            cached.sort_by(f64::total_cmp);
            println!("{name:>8} {count:>9} {ran:>12.1} {:>12.1}", cached[cached.len() / 2]);
        }
    }
    println!("{} MB at most", peak_megabytes());
}
