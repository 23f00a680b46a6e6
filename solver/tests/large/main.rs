//! Graphs as large as anybody will ever send: solved, cached, dropped, in bounded memory and with no
//! deeper a stack than small ones. Alone in its process, whose memory it measures.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "the shapes are shared with the benchmark")]

mod shapes;

use std::sync::Arc;

use shapes::{SHAPES, build, peak_megabytes};
use slipway_solver::*;

/// A hundred thousand take a debug build a minute.
const VERTICES: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
/// For all that a vertex needs while its graph is solved, and its records.
const KILOBYTES_EACH: u64 = 20;
/// For the process itself.
const MEGABYTES: u64 = 100;

/// One test, because what it measures is the process.
#[tokio::test(flavor = "multi_thread")]
async fn large_graphs_are_solved_and_come_down_in_bounded_memory() {
    let store = Arc::new(MemoryRecords::new("memory"));
    for (name, shape) in SHAPES {
        come_down(&store, &shape(VERTICES)).await;
        let solver = Solver::new(SolverOptions { store: store.clone() });
        let first = build(&solver, &shape(VERTICES)).await.unwrap();
        assert_eq!(solver.active(), 0, "{name}");
        let loads = store.loads();
        let solver = Solver::new(SolverOptions { store: store.clone() });
        assert_eq!(build(&solver, &shape(VERTICES)).await.unwrap(), first, "{name}");
        assert_eq!(store.loads() - loads, 1, "{name}: one result is all that is needed");
    }
    let (peak, most) = (peak_megabytes(), MEGABYTES + KILOBYTES_EACH * VERTICES as u64 / 1024);
    println!("{peak} MB of at most {most}");
    assert!(peak < most, "{peak} MB");
}

/// Cancelled in the middle, with all its tasks waiting for each other.
async fn come_down(store: &Arc<MemoryRecords<u64>>, graph: &Edge<u64>) {
    let solver = Solver::new(SolverOptions { store: store.clone() });
    let cut = build(&solver, graph);
    drop(tokio::time::timeout(std::time::Duration::from_millis(100), cut).await);
    // The job was dropped: its tasks come down by themselves.
    for _ in 0..10_000 {
        if solver.active() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{} vertices stay in memory", solver.active());
}
