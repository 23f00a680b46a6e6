//! Who ran what, when, for whom: written down while it happens, and judged on the spot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_solver::OpDigest;
use tokio_util::sync::CancellationToken;

use crate::chance::Random;

use super::scheduler::Scheduler;

#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) scheduler: Scheduler,
    /// Says what happens while it does.
    loud: bool,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    random: Random,
    executions: Vec<Execution>,
    /// Jobs that were made and neither cancelled nor dropped.
    jobs: BTreeSet<String>,
    /// Who forces what, since the solver was made.
    forcing: Vec<Forcing>,
    /// Jobs that have not come down.
    up: BTreeSet<String>,
    /// Some job since the solver was made has a limit: its turn to run may be waited for by others, too.
    limited_job: bool,
    /// What is being loaded now.
    loading: usize,
    limit: usize,
    broken: Vec<String>,
    /// How often what happened, for those who ask whether it does.
    counts: BTreeMap<&'static str, u64>,
}

/// What a job forces.
struct Forcing {
    job: String,
    operations: BTreeSet<OpDigest>,
    /// It waits no longer for a build of it.
    left: bool,
}

struct Execution {
    operation: OpDigest,
    identity: Option<String>,
    course: Course,
    began: u64,
    stop: CancellationToken,
    limited: bool,
    ended: Option<Ended>,
}

/// Why an operation runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Course {
    Plain,
    Forced,
    /// Perhaps taken up from one who forced it and has left: whoever waited with him forces nothing himself.
    TakenUp,
}

struct Ended {
    /// It came to its own end.
    whole: bool,
    jobs: BTreeSet<String>,
}

/// An operation that begins to run.
pub(crate) struct Begin<'a> {
    pub(crate) operation: OpDigest,
    pub(crate) name: &'a str,
    /// What it does to which inputs; `None` where runs on equal inputs are not equal.
    pub(crate) identity: Option<String>,
    pub(crate) forced: bool,
    pub(crate) limited: bool,
    /// Nothing keeps it waiting between being found to be necessary and running.
    pub(crate) at_once: bool,
    pub(crate) stop: &'a CancellationToken,
}

pub(crate) struct Running {
    ledger: Ledger,
    at: usize,
    over: bool,
}

impl Ledger {
    pub(crate) fn new(seed: u64, scheduler: &Scheduler, limit: usize, loud: bool) -> Self {
        let inner = Inner {
            random: Random(seed ^ 0x1ed6e4),
            executions: Vec::new(),
            jobs: BTreeSet::new(),
            forcing: Vec::new(),
            up: BTreeSet::new(),
            limited_job: false,
            loading: 0,
            limit,
            broken: Vec::new(),
            counts: BTreeMap::new(),
        };
        Self { scheduler: scheduler.clone(), loud, inner: Arc::new(Mutex::new(inner)) }
    }

    pub(crate) fn chance<T>(&self, ask: impl FnOnce(&mut Random) -> T) -> T {
        ask(&mut self.inner.lock().random)
    }

    /// A while: often none, mostly short.
    pub(crate) async fn pause(&self) {
        let ticks = self.chance(|random| match random.below(4) {
            0 => 0,
            1 | 2 => 1 + random.below(4) as u64,
            _ => random.below(30) as u64,
        });
        if ticks > 0 {
            self.scheduler.sleep(ticks).await;
        }
    }

    #[allow(clippy::print_stdout, reason = "shown where the test fails, or with --nocapture")]
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.loud {
            println!("{:>6} {}", self.scheduler.now(), what());
        }
    }

    pub(crate) fn broken(&self, law: String) {
        self.say(|| format!("BROKEN: {law}"));
        self.inner.lock().broken.push(law);
    }

    pub(crate) fn all_broken(&self) -> Vec<String> {
        self.inner.lock().broken.clone()
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.inner.lock().counts.entry(what).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.inner.lock().counts.clone()
    }

    /// There is a new solver.
    pub(crate) fn round_begins(&self) {
        let mut inner = self.inner.lock();
        inner.forcing.clear();
        inner.limited_job = false;
    }

    /// `job` forces these from now on.
    pub(crate) fn forces(&self, job: &str, operations: BTreeSet<OpDigest>) {
        let forcing = Forcing { job: job.to_owned(), operations, left: false };
        self.inner.lock().forcing.push(forcing);
    }

    /// `job` waits no longer for what it has built.
    pub(crate) fn leaves(&self, job: &str) {
        let mut inner = self.inner.lock();
        let own = inner.forcing.iter_mut().filter(|forcing| forcing.job == job);
        own.for_each(|forcing| forcing.left = true);
    }

    pub(crate) fn job_begins(&self, job: &str, limited: bool) {
        let mut inner = self.inner.lock();
        inner.limited_job |= limited;
        inner.jobs.insert(job.to_owned());
        inner.up.insert(job.to_owned());
    }

    pub(crate) fn job_ends(&self, job: &str) {
        self.inner.lock().jobs.remove(job);
        self.leaves(job);
    }

    /// A job has come down. If it was the last, nothing may go on.
    pub(crate) fn job_is_down(&self, job: &str) {
        let mut inner = self.inner.lock();
        inner.up.remove(job);
        let running = inner.executions.iter().filter(|execution| execution.ended.is_none()).count();
        if inner.up.is_empty() && running + inner.loading > 0 {
            let law = format!("{job} was the last job and came down while {running} ran");
            inner.broken.push(law);
        }
    }

    pub(crate) fn begin(&self, begin: Begin<'_>) -> Running {
        let Begin { operation, name, identity, forced, limited, at_once, stop } = begin;
        let now = self.scheduler.now();
        let mut inner = self.inner.lock();
        let course = match forced {
            true => Course::Forced,
            false if inner.may_be_taken_up(operation) => Course::TakenUp,
            false => Course::Plain,
        };
        self.say(|| format!("{name} runs, {course:?}, {identity:?}"));
        if identity.is_some() && course != Course::TakenUp {
            let equal = || inner.executions.iter().filter(|known| known.identity == identity);
            // Whoever takes up what was cut short may have waited for it before the forced work began.
            let at_once = at_once
                && !inner.limited_job
                && equal().all(|known| known.course == Course::Forced || known.went_well());
            // Forced work joins no unforced work, nor unforced what was led before the forced.
            let joinable = |known: &&Execution| match (course, known.course) {
                (Course::Forced, Course::Forced) | (Course::Plain, Course::Plain) => true,
                (Course::Plain, Course::Forced) => at_once && known.began < now,
                _ => false,
            };
            let law = equal().filter(joinable).find_map(|known| match &known.ended {
                None if !known.stop.is_cancelled() => Some(format!("{name} runs twice at the same time")),
                Some(ended) if ended.whole && !ended.jobs.is_disjoint(&inner.jobs) => {
                    Some(format!("{name} runs again for one who knows how it ended: {:?}", ended.jobs))
                }
                _ => None,
            });
            inner.broken.extend(law);
        }
        let at = inner.executions.len();
        inner.executions.push(Execution {
            operation,
            identity,
            course,
            began: now,
            stop: stop.clone(),
            limited,
            ended: None,
        });
        let limited = inner.executions.iter().filter(|e| e.limited && e.ended.is_none()).count();
        if limited > inner.limit {
            let law = format!("{limited} run where a limit is {}", inner.limit);
            inner.broken.push(law);
        }
        Running { ledger: self.clone(), at, over: false }
    }

    /// How many executions there were.
    pub(crate) fn executions(&self) -> usize {
        self.inner.lock().executions.len()
    }

    /// The operation of the execution `stamp`, if it was forced, or taken up from one who forced it.
    pub(crate) fn forced(&self, stamp: usize) -> Option<OpDigest> {
        let inner = self.inner.lock();
        Some(&inner.executions[stamp])
            .filter(|execution| execution.course != Course::Plain)
            .map(|e| e.operation)
    }

    pub(crate) fn load_begins(&self) -> Loading {
        self.inner.lock().loading += 1;
        Loading(self.clone())
    }
}

impl Inner {
    /// Whether somebody forced `operation` and left, or his run of it was cut short.
    fn may_be_taken_up(&self, operation: OpDigest) -> bool {
        let cut = |known: &Execution| {
            known.course == Course::Forced && known.operation == operation && !known.went_well()
        };
        self.forcing.iter().any(|forcing| forcing.left && forcing.operations.contains(&operation))
            || self.executions.iter().any(cut)
    }
}

impl Execution {
    /// So far.
    fn went_well(&self) -> bool {
        match &self.ended {
            Some(ended) => ended.whole,
            None => !self.stop.is_cancelled(),
        }
    }
}

impl Running {
    /// Unlike that of every other run.
    pub(crate) fn stamp(&self) -> usize {
        self.at
    }

    pub(crate) fn end(mut self, whole: bool, jobs: Vec<String>) {
        self.ledger.say(|| format!("execution {} ends, whole {whole}, for {jobs:?}", self.at));
        let ended = Ended { whole, jobs: jobs.into_iter().collect() };
        self.ledger.inner.lock().executions[self.at].ended = Some(ended);
        self.over = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.ledger.broken("an operation was dropped half-way".into());
        }
    }
}

pub(crate) struct Loading(Ledger);

impl Drop for Loading {
    fn drop(&mut self) {
        self.0.inner.lock().loading -= 1;
    }
}
