//! Graphs as large as anybody will ever send: solved, cached, dropped, in bounded memory and with no
//! deeper a stack than small ones. Alone in its process, whose memory it measures.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "the shapes are shared with the benchmark")]

mod shapes;

use std::sync::Arc;

use shapes::{SHAPES, build, peak_megabytes};
use slipway_solver::*;

const VERTICES: usize = 100_000;
/// Some 5 KiB for each vertex and the records of all three graphs.
const MOST_MEGABYTES: u64 = 900;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_vertices_are_solved_in_bounded_memory() {
    let store = Arc::new(MemoryRecords::new("memory"));
    for (name, shape) in SHAPES {
        let solver = Solver::new(SolverOptions { store: store.clone() });
        let graph = shape(VERTICES);
        let first = build(&solver, &graph).await.unwrap();
        assert_eq!(solver.active(), 0, "{name}");
        let loads = store.loads();
        let solver = Solver::new(SolverOptions { store: store.clone() });
        assert_eq!(build(&solver, &shape(VERTICES)).await.unwrap(), first, "{name}");
        assert_eq!(store.loads() - loads, 1, "{name}: one result is all that is needed");
    }
    let peak = peak_megabytes();
    println!("{peak} MB at most");
    assert!(peak < MOST_MEGABYTES, "{peak} MB");
}

/// Cancelled in the middle, with a hundred thousand tasks that wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_vertices_come_down() {
    let store = Arc::new(MemoryRecords::new("memory"));
    for (name, shape) in SHAPES {
        let solver = Solver::new(SolverOptions { store: store.clone() });
        let graph = shape(VERTICES);
        let built = tokio::time::timeout(std::time::Duration::from_millis(300), build(&solver, &graph)).await;
        drop(built);
        let job = solver.job(JobOptions {
            id: "job".into(),
            sessions: Vec::new(),
            progress: Arc::new(Silent),
            imports: Vec::new(),
            parallelism: None,
        });
        let dropped = futures::future::select(
            Box::pin(job.build(&graph)),
            Box::pin(tokio::time::sleep(std::time::Duration::from_millis(300))),
        );
        drop(dropped.await);
        job.discard().await;
        drop(graph);
        assert!(solver.active() <= VERTICES + 1, "{name}");
    }
}
