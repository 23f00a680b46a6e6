//! A single-threaded executor that owns order and time: a seed decides which of the tasks that can go
//! on goes on, and time passes only when none can.
//!
//! Half of the seeds pick among the ready tasks at random. The other half give each task a priority
//! and always run the highest, changing one now and then: that finds what needs one task to be slow
//! for long ("A randomized scheduler with probabilistic guarantees of finding bugs", Burckhardt et al.).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use slipway_solver::Executor;

use crate::chance::Random;

/// What no story needs: whoever polls so often goes in circles.
const MOST_POLLS: u64 = 200_000;

#[derive(Clone)]
pub(crate) struct Scheduler(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    ready: Arc<Mutex<Ready>>,
}

struct State {
    tasks: Vec<Option<BoxFuture<'static, ()>>>,
    priorities: Vec<u64>,
    by_priority: bool,
    random: Random,
    clock: u64,
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    wakers: Vec<Option<Waker>>,
    polls: u64,
    trace: u64,
}

#[derive(Default)]
struct Ready {
    tasks: Vec<usize>,
    queued: Vec<bool>,
}

impl Scheduler {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x5ced);
        let state = State {
            tasks: Vec::new(),
            priorities: Vec::new(),
            by_priority: random.once_in(2),
            random,
            clock: 0,
            timers: BinaryHeap::new(),
            wakers: Vec::new(),
            polls: 0,
            trace: 0,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), ready: Arc::default() }))
    }

    /// Runs `main`, then whatever can still go on without time passing. Fails if `main` hangs, or if a
    /// task is left that waits.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        main: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let result = Arc::new(Mutex::new(None));
        let told = result.clone();
        self.spawn(Box::pin(async move {
            let outcome = main.await;
            *told.lock() = Some(outcome);
        }));
        while result.lock().is_none() {
            if !self.step()? && !self.pass_time() {
                return Err(format!("hangs, with {} tasks that wait", self.alive()));
            }
        }
        while self.step()? {}
        match (self.alive(), result.lock().take()) {
            (0, Some(outcome)) => Ok(outcome),
            (alive, _) => Err(format!("{alive} tasks are left over")),
        }
    }

    /// A checksum of every choice made so far.
    pub(crate) fn trace(&self) -> u64 {
        self.0.state.lock().trace
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.state.lock().clock
    }

    pub(crate) async fn sleep(&self, ticks: u64) {
        let until = self.0.state.lock().clock + ticks;
        std::future::poll_fn(|cx| {
            let mut state = self.0.state.lock();
            if state.clock >= until {
                return Poll::Ready(());
            }
            let timer = state.wakers.len();
            state.wakers.push(Some(cx.waker().clone()));
            state.timers.push(Reverse((until, timer)));
            Poll::Pending
        })
        .await;
    }

    fn alive(&self) -> usize {
        self.0.state.lock().tasks.iter().flatten().count()
    }

    /// Polls one task; says whether there was one.
    fn step(&self) -> Result<bool, String> {
        let Some(id) = self.choose()? else { return Ok(false) };
        let Some(mut task) = self.0.state.lock().tasks[id].take() else { return Ok(true) };
        let waker = Waker::from(Arc::new(Wakes { id, ready: self.0.ready.clone() }));
        // Without the lock: the task spawns and sleeps.
        if Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending() {
            self.0.state.lock().tasks[id] = Some(task);
        }
        Ok(true)
    }

    fn choose(&self) -> Result<Option<usize>, String> {
        let (mut state, mut ready) = (self.0.state.lock(), self.0.ready.lock());
        if ready.tasks.is_empty() {
            return Ok(None);
        }
        state.polls += 1;
        if state.polls > MOST_POLLS {
            return Err(format!("goes in circles: {MOST_POLLS} polls"));
        }
        let at = if state.by_priority {
            let best = (0..ready.tasks.len()).max_by_key(|at| state.priorities[ready.tasks[*at]]).unwrap();
            if state.random.once_in(16) {
                let lower = state.random.next() >> 1;
                state.priorities[ready.tasks[best]] = lower;
            }
            best
        } else {
            state.random.below(ready.tasks.len())
        };
        let id = ready.tasks.swap_remove(at);
        ready.queued[id] = false;
        state.trace = (state.trace ^ id as u64).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
        Ok(Some(id))
    }

    /// Goes on to when the next timer rings; says whether there is one.
    fn pass_time(&self) -> bool {
        let mut state = self.0.state.lock();
        let Some(Reverse((at, timer))) = state.timers.pop() else { return false };
        state.clock = state.clock.max(at);
        let waker = state.wakers[timer].take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }
}

impl Executor for Scheduler {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut state = self.0.state.lock();
        let id = state.tasks.len();
        state.tasks.push(Some(task));
        let priority = state.random.next();
        state.priorities.push(priority);
        drop(state);
        let mut ready = self.0.ready.lock();
        ready.queued.push(true);
        ready.tasks.push(id);
    }
}

struct Wakes {
    id: usize,
    ready: Arc<Mutex<Ready>>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock();
        if !std::mem::replace(&mut ready.queued[self.id], true) {
            ready.tasks.push(self.id);
        }
    }
}
