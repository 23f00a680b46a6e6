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
    /// Some job forces something, so that one vertex may be two: on what is fresh and on what is not.
    forcing: bool,
    /// Jobs that have not come down.
    up: BTreeSet<String>,
    /// What is being loaded now.
    loading: usize,
    limit: usize,
    broken: Vec<String>,
    /// How often what happened, for those who ask whether it does.
    counts: BTreeMap<&'static str, u64>,
}

struct Execution {
    operation: OpDigest,
    identity: Option<String>,
    forced: bool,
    stop: CancellationToken,
    limited: bool,
    ended: Option<Ended>,
}

struct Ended {
    /// It came to its own end.
    whole: bool,
    jobs: BTreeSet<String>,
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
            forcing: false,
            up: BTreeSet::new(),
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

    pub(crate) fn job_is_planned(&self, forces: bool) {
        self.inner.lock().forcing |= forces;
    }

    /// An input of a vertex was made real for the `time`th time.
    pub(crate) fn made_real(&self, time: usize) {
        let mut inner = self.inner.lock();
        if time > 1 && !inner.forcing {
            inner.broken.push("an input was made real twice".into());
        }
    }

    pub(crate) fn job_begins(&self, job: &str) {
        let mut inner = self.inner.lock();
        inner.jobs.insert(job.to_owned());
        inner.up.insert(job.to_owned());
    }

    pub(crate) fn job_ends(&self, job: &str) {
        self.inner.lock().jobs.remove(job);
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

    /// An operation begins to run. `identity` names what it does to which inputs; `None` where runs on
    /// equal inputs are not equal.
    pub(crate) fn begin(
        &self,
        operation: OpDigest,
        name: &str,
        identity: Option<String>,
        forced: bool,
        limited: bool,
        stop: &CancellationToken,
    ) -> Running {
        self.say(|| format!("{name} runs, forced {forced}, {identity:?}"));
        let mut inner = self.inner.lock();
        let identity = identity.filter(|_| !inner.is_taken_up(operation));
        if identity.is_some() {
            for known in inner.executions.iter().filter(|known| known.identity == identity) {
                if forced != known.forced {
                    continue; // forced work joins no unforced work, nor what was led before it any forced
                }
                let law = match &known.ended {
                    None if !known.stop.is_cancelled() => format!("{name} runs twice at the same time"),
                    Some(ended) if ended.whole && !ended.jobs.is_disjoint(&inner.jobs) => {
                        format!("{name} runs again for one who knows how it ended: {:?}", ended.jobs)
                    }
                    _ => continue,
                };
                inner.broken.push(law);
                break;
            }
        }
        let at = inner.executions.len();
        inner.executions.push(Execution {
            operation,
            identity,
            forced,
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
        Some(&inner.executions[stamp]).filter(|execution| execution.forced).map(|e| e.operation)
    }

    pub(crate) fn load_begins(&self) -> Loading {
        self.inner.lock().loading += 1;
        Loading(self.clone())
    }
}

impl Inner {
    /// Whether a forced run of `operation` was cut short: whoever waited with the one who forced it
    /// takes it up, and forces nothing himself.
    fn is_taken_up(&self, operation: OpDigest) -> bool {
        let cut = |ended: &Ended| !ended.whole;
        let forced = self.executions.iter().filter(|known| known.forced && known.operation == operation);
        forced.into_iter().any(|known| known.ended.as_ref().is_some_and(cut))
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
