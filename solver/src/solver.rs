//! The door: one solver per daemon, shared by all jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Value;
use crate::board::Board;
use crate::executor::{Executor, Tokio};
use crate::job::{Job, JobOptions};
use crate::phases::{Phase, PhaseTotal};
use crate::records::RecordStore;

/// What a solver is made with.
pub struct SolverOptions<V> {
    /// Where results are looked for first, and where they are kept.
    pub store: Arc<dyn RecordStore<V>>,
}

/// Solves graphs for any number of jobs at a time; equal work is done once. Cheap to clone.
pub struct Solver<V> {
    board: Arc<Board<V>>,
}

impl<V: Value> Solver<V> {
    /// A solver that works in the runtime it is called in.
    pub fn new(options: SolverOptions<V>) -> Self {
        Self::on(Arc::new(Tokio), options)
    }

    /// A solver whose tasks `executor` runs.
    pub fn on(executor: Arc<dyn Executor>, options: SolverOptions<V>) -> Self {
        Self { board: Arc::new(Board::new(executor, options.store)) }
    }

    pub fn job(&self, options: JobOptions<V>) -> Job<V> {
        Job::new(&self.board, options)
    }

    /// How often there was a phase since this solver was made, and how long all of them took.
    pub fn phase(&self, phase: Phase) -> PhaseTotal {
        self.board.phases.of(phase)
    }

    /// How many executions wait for the right to run, and how many have it.
    pub fn queued_and_running(&self) -> (usize, usize) {
        let load = |gauge: &AtomicUsize| gauge.load(Ordering::Relaxed);
        (load(&self.board.phases.queued), load(&self.board.phases.running))
    }

    /// How many vertices some job keeps in memory.
    pub fn active(&self) -> usize {
        self.board.active()
    }
}

impl<V> Clone for Solver<V> {
    fn clone(&self) -> Self {
        Self { board: self.board.clone() }
    }
}
