//! Where the time of a solver goes: told, never asked by the engine.
//!
//! | phase | of |
//! |---|---|
//! | identify | asking an operation how it is cached |
//! | digest | finding out what an input contains |
//! | realize | making a lazy input real |
//! | queue | waiting for the right to run |
//! | run | the operation |
//! | load | taking a result out of a cache |
//! | save | keeping a result |
//!
//! All of it is summed up for as long as the solver lives; of each vertex the first few are kept, those of
//! an execution that several share with the one in whose name it ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::Value;
use crate::node::Node;

/// Phases that are kept of one vertex.
const MOST_KEPT: usize = 32;
/// Every vertex is asked how it is cached: that is kept only where it took its time.
const QUICK: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Identify,
    Digest,
    Realize,
    Queue,
    Run,
    Load,
    Save,
}

/// One phase of one vertex.
#[derive(Clone, Copy, Debug)]
pub struct PhaseSpan {
    pub phase: Phase,
    pub began: SystemTime,
    pub took: Duration,
}

/// How often there was a phase, and how long all of them took together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PhaseTotal {
    pub count: u64,
    pub took: Duration,
}

/// What one vertex spent its time on, in the order in which that ended.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    pub phases: Vec<PhaseSpan>,
    /// Its result was loaded from an imported cache.
    pub imported: bool,
}

/// Of one solver.
#[derive(Default)]
pub(crate) struct Totals {
    /// Executions that wait for the right to run, and those that have it.
    pub(crate) queued: AtomicUsize,
    pub(crate) running: AtomicUsize,
    sums: [Sum; Phase::ALL.len()],
}

#[derive(Default)]
struct Sum {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Phase {
    pub const ALL: [Self; 7] =
        [Self::Identify, Self::Digest, Self::Realize, Self::Queue, Self::Run, Self::Load, Self::Save];

    pub fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Digest => "digest",
            Self::Realize => "realize",
            Self::Queue => "queue",
            Self::Run => "run",
            Self::Load => "load",
            Self::Save => "save",
        }
    }
}

impl Totals {
    pub(crate) fn of(&self, phase: Phase) -> PhaseTotal {
        let sum = &self.sums[phase as usize];
        PhaseTotal {
            count: sum.count.load(Ordering::Relaxed),
            took: Duration::from_nanos(sum.nanoseconds.load(Ordering::Relaxed)),
        }
    }

    fn add(&self, phase: Phase, took: Duration) {
        let sum = &self.sums[phase as usize];
        sum.count.fetch_add(1, Ordering::Relaxed);
        sum.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn gauge(&self, phase: Phase) -> Option<&AtomicUsize> {
        match phase {
            Phase::Queue => Some(&self.queued),
            Phase::Run => Some(&self.running),
            _ => None,
        }
    }
}

impl<V: Value> Node<V> {
    /// Until what is returned is dropped, however that comes about.
    pub(crate) fn enters(self: &Arc<Self>, phase: Phase) -> Entered<V> {
        if let Some(gauge) = self.board.phases.gauge(phase) {
            gauge.fetch_add(1, Ordering::Relaxed);
        }
        Entered { node: self.clone(), phase, began: SystemTime::now(), since: Instant::now() }
    }
}

/// A phase that goes on.
pub(crate) struct Entered<V: Value> {
    node: Arc<Node<V>>,
    phase: Phase,
    began: SystemTime,
    since: Instant,
}

impl<V: Value> Drop for Entered<V> {
    fn drop(&mut self) {
        let (phase, took, totals) = (self.phase, self.since.elapsed(), &self.node.board.phases);
        if let Some(gauge) = totals.gauge(phase) {
            gauge.fetch_sub(1, Ordering::Relaxed);
        }
        totals.add(phase, took);
        if phase == Phase::Identify && took < QUICK {
            return;
        }
        let mut course = self.node.course.lock();
        if course.spent.phases.len() < MOST_KEPT {
            course.spent.phases.push(PhaseSpan { phase, began: self.began, took });
        }
    }
}
