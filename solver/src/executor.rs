//! Where the solver's tasks run.
//!
//! The solver starts tasks through this one door and waits only for wakers: it reads no clock to
//! decide anything, and nowhere does chance choose. So who owns the executor owns the order in which
//! everything happens, and can repeat it: the model test (`tests/solver/model`) is built on that.

use futures::future::BoxFuture;
use tracing::Instrument as _;

/// Runs tasks.
pub trait Executor: Send + Sync {
    /// Runs `task` to its end, whoever waits for it. It must not be polled before this returns: the
    /// caller may hold locks that the task takes.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// The runtime in whose context the solver is called.
pub struct Tokio;

impl Executor for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // What is logged in there tells for which build it began.
        tokio::spawn(task.in_current_span());
    }
}
