//! One story: a plan, some rounds of jobs over it, and what every job must see.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::future::{Either, join_all, select};
use parking_lot::Mutex;
use slipway_solver::*;
use tokio::sync::{Semaphore, oneshot};

use super::ledger::Ledger;
use super::ops::{Made, Workshop};
use super::plan::{Look, OUTPUTS, Plan, of};
use super::scheduler::Scheduler;
use super::sources::Unreliable;
use super::truth::Truth;
use crate::chance::Random;

/// What there is to tell of a story that ended well.
pub(crate) struct Told {
    /// Of every choice the scheduler made.
    pub(crate) trace: u64,
    /// How often what happened.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// Runs the story of `seed`, or says which law was broken.
pub(crate) fn tell(seed: u64, loud: bool) -> Result<Told, String> {
    let scheduler = Scheduler::new(seed);
    let told =
        std::panic::catch_unwind(AssertUnwindSafe(|| scheduler.run(story(seed, scheduler.clone(), loud))));
    let ledger = told.map_err(|_| "panics".to_owned())??;
    match ledger.all_broken().as_slice() {
        [] => Ok(Told { trace: scheduler.trace(), counts: ledger.counts() }),
        broken => Err(broken.join("; ")),
    }
}

struct Story {
    plan: Plan,
    oracle: Vec<Option<u64>>,
    ledger: Ledger,
    limit: Arc<Semaphore>,
}

/// How a job leaves, if it leaves before it has what it came for.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Cancels,
    /// Waits no longer for its builds, but builds again.
    BuildsAgain,
    Discards,
    IsDropped,
}

struct JobPlan {
    name: String,
    targets: Vec<(usize, usize)>,
    forced: BTreeSet<usize>,
    together: bool,
    leaves: Option<(u64, Leave)>,
    imports: Vec<Arc<dyn RecordSource<Made>>>,
    parallelism: Option<usize>,
}

async fn story(seed: u64, scheduler: Scheduler, loud: bool) -> Ledger {
    let mut random = Random(seed);
    let limit = 1 + random.below(3);
    let ledger = Ledger::new(seed, &scheduler, limit, loud);
    let plan = Plan::new(&mut random);
    let oracle = plan.oracle();
    plan.steps.iter().for_each(|step| ledger.say(|| format!("{step:?}")));
    let story =
        Arc::new(Story { plan, oracle, ledger: ledger.clone(), limit: Arc::new(Semaphore::new(limit)) });
    let (mut store, mut elsewhere) = (Arc::new(MemoryRecords::new("store")), Vec::new());
    let (mut sessions, saved) = (Vec::new(), Arc::<Mutex<Vec<_>>>::default());
    for round in 0..1 + random.below(3) {
        if round > 0 && random.once_in(2) {
            elsewhere.push(std::mem::replace(&mut store, Arc::new(MemoryRecords::new(&round.to_string()))));
            saved.lock().clear();
        }
        let unreliable = |records: &Arc<MemoryRecords<Made>>, random: &mut Random| {
            let unlucky = random.once_in(2).then(|| random.next());
            Arc::new(Unreliable {
                records: records.clone(),
                ledger: ledger.clone(),
                unlucky,
                saved: saved.clone(),
            })
        };
        let options = SolverOptions { store: unreliable(&store, &mut random) as Arc<dyn RecordStore<Made>> };
        let solver = Solver::on(Arc::new(scheduler.clone()), options);
        let begin = ledger.executions();
        ledger.round_begins();
        let imports: Vec<_> = elsewhere.iter().map(|records| unreliable(records, &mut random)).collect();
        let mut jobs = Vec::new();
        for job in 0..1 + random.below(4) {
            let job = JobPlan::new(&mut random, format!("job {round}.{job}"), &story.plan, &imports);
            sessions.push(job.name.clone());
            let (done, over) = oneshot::channel();
            let (story, solver) = (story.clone(), solver.clone());
            scheduler.spawn(Box::pin(async move {
                story.run(&solver, &job, begin).await;
                let _ = done.send(());
            }));
            jobs.push(over);
        }
        for job in jobs {
            if job.await.is_err() {
                ledger.broken("a job is gone".into());
            }
        }
        // Those that were dropped come down, too.
        scheduler.sleep(10_000).await;
        if solver.active() > 0 {
            ledger.broken(format!("{} vertices stay in memory", solver.active()));
        }
        let law = Truth::new(&story.plan, &sessions).check(&store, &saved.lock());
        law.into_iter().for_each(|law| ledger.broken(law));
        let mut records = store.all_records();
        records.sort_by(|a, b| a.id.cmp(&b.id));
        let forgetful = random.once_in(3);
        for record in records {
            if forgetful && random.once_in(3) {
                store.forget(&record.id);
                saved.lock().retain(|(known, _)| known.id != record.id);
            }
        }
    }
    ledger
}

impl JobPlan {
    fn new(random: &mut Random, name: String, plan: &Plan, imports: &[Arc<Unreliable>]) -> Self {
        let steps = plan.steps.len();
        let forced_once_in = if random.once_in(4) { 3 } else { 1000 };
        let chosen = |random: &mut Random, source: &Arc<Unreliable>| {
            random.once_in(2).then(|| source.clone() as Arc<dyn RecordSource<Made>>)
        };
        Self {
            name,
            targets: (0..1 + random.below(3)).map(|_| (random.below(steps), random.below(OUTPUTS))).collect(),
            forced: (0..steps).filter(|_| random.once_in(forced_once_in)).collect(),
            together: random.once_in(2),
            leaves: random.once_in(3).then(|| {
                let how = [Leave::Cancels, Leave::BuildsAgain, Leave::Discards, Leave::IsDropped];
                (random.below(60) as u64, how[random.below(4)])
            }),
            imports: imports.iter().filter_map(|source| chosen(random, source)).collect(),
            parallelism: random.once_in(3).then(|| 1 + random.below(2)),
        }
    }
}

impl Story {
    async fn run(&self, solver: &Solver<Made>, plan: &JobPlan, begin: usize) {
        let ledger = &self.ledger;
        ledger.pause().await;
        ledger.say(|| {
            let JobPlan { name, targets, forced, together, leaves, parallelism, .. } = plan;
            let imports = plan.imports.len();
            format!(
                "{name} wants {targets:?} (together: {together}), forces {forced:?}, leaves {leaves:?}, \
                 {imports} imports, parallelism {parallelism:?}"
            )
        });
        let heard = Arc::new(Heard::default());
        ledger.job_begins(&plan.name, plan.parallelism.is_some());
        let job = solver.job(JobOptions {
            id: plan.name.clone(),
            sessions: vec![plan.name.clone()],
            progress: heard.clone(),
            imports: plan.imports.clone(),
            parallelism: plan.parallelism,
        });
        let workshop = Workshop {
            plan: &self.plan,
            ledger,
            limit: &self.limit,
            session: &plan.name,
            forced: &plan.forced,
        };
        let vertices = workshop.vertices();
        let forced = plan.forced.iter().map(|step| self.plan.steps[*step].digest(&plan.name));
        ledger.forces(&plan.name, forced.collect());
        let built = {
            let builds = Box::pin(self.build(&job, plan, &vertices));
            let patience = Box::pin(async {
                match plan.leaves {
                    Some((ticks, _)) => ledger.scheduler.sleep(ticks).await,
                    None => std::future::pending().await,
                }
            });
            match select(builds, patience).await {
                Either::Left((built, _)) => Some(built),
                Either::Right(_) => None,
            }
        };
        let built = match (built, plan.leaves) {
            (None, Some((_, Leave::BuildsAgain))) => {
                ledger.count("built again");
                ledger.leaves(&plan.name);
                Some(self.build(&job, plan, &vertices).await)
            }
            (built, _) => built,
        };
        for ((step, output), outcome) in built.iter().flatten() {
            self.judge(plan, &vertices, (*step, *output), outcome, begin);
        }
        ledger.say(|| format!("{} has {built:?}", plan.name));
        ledger.job_ends(&plan.name);
        match (&built, plan.leaves) {
            (None, Some((_, Leave::IsDropped))) => return drop(job),
            (None, Some((_, Leave::Cancels))) => {
                job.cancel();
                ledger.pause().await;
                if !matches!(job.build(&vertices[0]).await, Err(Error::Cancelled)) {
                    ledger.broken("a cancelled job builds".into());
                }
            }
            _ => {}
        }
        job.discard().await;
        ledger.job_is_down(&plan.name);
        heard.check(&built, &vertices).into_iter().for_each(|law| ledger.broken(law));
    }

    async fn build(&self, job: &Job<Made>, plan: &JobPlan, vertices: &[Edge<Made>]) -> Vec<Outcome> {
        let build = async |(step, output): (usize, usize)| {
            ((step, output), job.build(&Edge::new(&vertices[step].vertex, output)).await)
        };
        if plan.together {
            return join_all(plan.targets.iter().copied().map(build)).await;
        }
        let mut built = Vec::new();
        for target in &plan.targets {
            built.push(build(*target).await);
        }
        built
    }

    fn judge(
        &self,
        plan: &JobPlan,
        vertices: &[Edge<Made>],
        (step, output): (usize, usize),
        outcome: &Result<Built<Made>>,
        begin: usize,
    ) {
        let broken = |law: &str| self.ledger.broken(format!("{}, step {step}: {law}", plan.name));
        match (outcome, self.oracle[step]) {
            (Ok(built), Some(number)) => {
                self.ledger.count("built");
                if built.value.number != of(number, output) {
                    broken("not what the oracle says");
                }
                if built.keys.is_empty() {
                    broken("known under no key");
                }
                self.judge_forced(plan, step, &built.value, begin);
            }
            (Ok(_), None) => broken("must fail"),
            (Err(Error::Op { vertex, name, .. }), None) => {
                self.ledger.count("failed");
                let culprits = self.plan.culprits();
                let sub_builds = self.plan.steps.iter().any(|step| step.sub_build.is_some());
                let known = |culprit: &usize| vertices[*culprit].vertex.digest == *vertex;
                let named = |culprit: &usize| vertices[*culprit].vertex.name == **name;
                if !culprits.iter().any(|step| known(step) || sub_builds && named(step)) {
                    broken("the failure names a vertex that did not fail");
                }
            }
            (Err(error), _) => broken(&format!("lost: {error}: {}", error.reason())),
        }
    }

    /// What is reached from a forced vertex through definitions alone is made of a fresh run of it.
    fn judge_forced(&self, plan: &JobPlan, target: usize, made: &Made, begin: usize) {
        let (mut todo, mut reached) = (vec![target], BTreeSet::new());
        while let Some(step) = todo.pop() {
            if reached.insert(step) {
                let inputs = self.plan.steps[step].inputs.iter();
                todo.extend(inputs.filter(|i| i.look == Look::Definition).map(|i| i.step));
            }
        }
        for forced in reached.intersection(&plan.forced) {
            let digest = self.plan.steps[*forced].digest(&plan.name);
            let fresh = |stamp: &usize| *stamp >= begin && self.ledger.forced(*stamp) == Some(digest);
            self.ledger.count("forced");
            if !made.made_of.iter().any(fresh) {
                self.ledger.broken(format!("step {target} was not made of step {forced}, which was forced"));
            }
        }
    }
}

type Outcome = ((usize, usize), Result<Built<Made>>);

/// The last that was heard of each vertex.
#[derive(Default)]
struct Heard(Mutex<BTreeMap<VertexDigest, VertexEvent>>);

impl Progress for Heard {
    fn tell(&self, event: Event) {
        if let Event::Vertex(event) = event {
            self.0.lock().insert(event.digest, event);
        }
    }
}

impl Heard {
    fn check(&self, built: &Option<Vec<Outcome>>, vertices: &[Edge<Made>]) -> Option<String> {
        let heard = self.0.lock();
        if let Some(open) = heard.values().find(|event| event.started.is_some() != event.completed.is_some())
        {
            return Some(format!("{} is left open", open.name));
        }
        // Where one thing failed, others were cut short.
        let fine = built.iter().flatten().all(|(_, outcome)| outcome.is_ok());
        built.iter().flatten().filter(|_| fine).find_map(|((step, _), _)| {
            let event = heard.get(&vertices[*step].vertex.digest);
            let told = event.is_some_and(|event| event.completed.is_some() && event.error.is_none());
            (!told).then(|| format!("nobody was told of the end of step {step}: {event:?}"))
        })
    }
}
