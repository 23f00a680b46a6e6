//! What a vertex costs, in-process: `cargo bench -p slipway-solver`, or `cargo xtask bench solver`.
//!
//! The goal is below 100 µs per cached vertex in graphs of a thousand, from the graph as it was received to
//! the result, the job discarded. Graphs of a hundred thousand are there to see that it stays linear.
//! Bytes are those of the allocator, per vertex: of the graph as it is handed in, the most that solving it
//! takes beyond that, what the job still holds when it has its result, and what is left when it is discarded,
//! which is records and links.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]
#![allow(unreachable_pub, reason = "the shapes are shared with a test")]

#[path = "../tests/large/shapes.rs"]
mod shapes;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shapes::{SHAPES, Shape, job, peak_megabytes};
use slipway_solver::*;

#[global_allocator]
static COUNTING: Counting = Counting { now: AtomicUsize::new(0), most: AtomicUsize::new(0) };

struct Counting {
    now: AtomicUsize,
    most: AtomicUsize,
}

// SAFETY: all of it is the system's allocator; numbers are kept beside.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = self.now.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        self.most.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.now.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Of one graph that was solved once.
struct Cost {
    took: Duration,
    graph: usize,
    most: usize,
    held: usize,
    left: usize,
}

fn solve(
    runtime: &tokio::runtime::Runtime,
    store: &Arc<MemoryRecords<u64>>,
    shape: Shape,
    count: usize,
) -> Cost {
    let solver = Solver::new(SolverOptions { store: store.clone() });
    let now = || COUNTING.now.load(Ordering::Relaxed);
    let begin = now();
    let since = |before: usize| now().saturating_sub(before);
    let clock = Instant::now();
    let edge = shape(count);
    let graph = since(begin);
    COUNTING.most.store(now(), Ordering::Relaxed);
    let job = job(&solver);
    runtime.block_on(job.build(&edge)).unwrap();
    let held = since(begin + graph);
    runtime.block_on(job.discard());
    drop(edge);
    let took = clock.elapsed();
    let most = COUNTING.most.load(Ordering::Relaxed).saturating_sub(begin + graph);
    Cost { took, graph, most, held, left: since(begin) }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "{:>8} {:>9} {:>8} {:>10} {:>8} {:>10} {:>8} {:>8}",
        "shape", "vertices", "", "µs each", "B graph", "B at most", "B held", "B left"
    );
    for count in [1_000, 100_000] {
        for (name, shape) in SHAPES {
            let store = Arc::new(MemoryRecords::new("memory"));
            let tell = |how: &str, cost: &Cost| {
                let each = |bytes: usize| bytes / count;
                let took = cost.took.as_secs_f64() * 1e6 / count as f64;
                let (graph, most) = (each(cost.graph), each(cost.most));
                let (held, left) = (each(cost.held), each(cost.left));
                println!(
                    "{name:>8} {count:>9} {how:>8} {took:>10.1} {graph:>8} {most:>10} {held:>8} {left:>8}"
                );
            };
            tell("ran", &solve(&runtime, &store, shape, count));
            let mut cached: Vec<_> = (0..5).map(|_| solve(&runtime, &store, shape, count)).collect();
            cached.sort_by_key(|cost| cost.took);
            tell("cached", &cached[cached.len() / 2]);
        }
    }
    println!("{} MB resident at most", peak_megabytes());
}
