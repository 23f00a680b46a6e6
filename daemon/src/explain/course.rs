//! What is found out about one build while it goes on.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use slipway_explain::inherit::inherit;
use slipway_explain::{Build as Known, History, Step};
use slipway_model::{Digest, llb};
use slipway_solver::{Answer, Trace, VertexDigest, with_causes};
use tokio::sync::{Notify, watch};

use super::graph::{Graph, MOST_STEPS};
use super::tell;
use crate::build::Build;
use crate::engine::Engine;

/// Steps are explained while the build runs only if it has at most so many: each time, all are looked at.
const MOST_LIVE: usize = 512;

pub(crate) struct Course {
    began_at: SystemTime,
    state: Mutex<State>,
    wake: Notify,
    /// How many steps are told, and whether more may come.
    told: watch::Sender<(usize, bool)>,
}

#[derive(Default)]
struct State {
    /// Solved and not yet part of the graph.
    definitions: Vec<Arc<llb::Definition>>,
    /// Steps that began and were not looked at yet; each is there once at a time.
    began: VecDeque<VertexDigest>,
    queued: HashSet<VertexDigest>,
    told: Vec<Step>,
    over: bool,
}

/// What one task works on, from the beginning of a build to its end.
#[derive(Default)]
struct Work {
    graph: Graph,
    traces: Vec<Trace>,
    is_too_large: bool,
    /// The digest of the client's name for its directory.
    lineage: String,
    explained: HashSet<usize>,
    earlier: Option<Vec<Known>>,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            began_at: SystemTime::now(),
            state: Mutex::default(),
            wake: Notify::new(),
            told: watch::channel((0, true)).0,
        }
    }
}

impl Course {
    /// The build solves `definition`.
    pub(crate) fn solves(&self, definition: &Arc<llb::Definition>) {
        self.state.lock().definitions.push(definition.clone());
    }

    /// Something of a vertex began, perhaps its execution.
    pub(crate) fn began(&self, vertex: VertexDigest) {
        let mut state = self.state.lock();
        if !state.over && state.queued.len() < MOST_STEPS && state.queued.insert(vertex) {
            state.began.push_back(vertex);
            self.wake.notify_one();
        }
    }

    /// Nothing begins any more.
    fn end(&self) {
        self.state.lock().over = true;
        self.wake.notify_one();
    }

    /// The steps told from `position` on; waits for one. `None`: that was all.
    pub(super) async fn read(&self, position: &mut usize) -> Option<Vec<Step>> {
        let mut told = self.told.subscribe();
        let from = *position;
        told.wait_for(|(count, open)| *count > from || !*open).await.ok()?;
        let steps = self.state.lock().told.get(from..).unwrap_or_default().to_vec();
        *position += steps.len();
        (!steps.is_empty()).then_some(steps)
    }

    fn tell(&self, steps: impl IntoIterator<Item = Step>) {
        let count = {
            let mut state = self.state.lock();
            state.told.extend(steps);
            state.told.len()
        };
        self.told.send_modify(|(told, _)| *told = count);
    }
}

/// Explains steps of `build` as they begin, until [`finish`].
pub(crate) fn follow(engine: &Arc<Engine>, build: &Arc<Build>) -> Following {
    let (engine, build) = (engine.clone(), build.clone());
    Following(tokio::spawn(async move {
        let mut work = Work::default();
        loop {
            build.course.wake.notified().await;
            let (began, over) = {
                let mut state = build.course.state.lock();
                state.queued.clear();
                (state.began.drain(..).collect::<HashSet<_>>(), state.over)
            };
            if over {
                return work;
            }
            work = work.look(&engine, &build, |vertex| began.contains(vertex), MOST_LIVE).await;
        }
    }))
}

/// The task that explains a build's steps.
pub(crate) struct Following(tokio::task::JoinHandle<Work>);

/// Explains what is left, while the job still holds what steps have read; writes it down afterwards.
pub(crate) async fn finish(engine: &Arc<Engine>, build: &Arc<Build>, following: Following) {
    build.course.end();
    // It panicked, which its thread has said: then all is looked at now.
    let work = following.0.await.unwrap_or_default();
    let mut work = work.look(engine, build, |_| true, MOST_STEPS).await;
    build.course.told.send_modify(|(_, open)| *open = false);
    let pending = engine.explanations.begin();
    let (engine, build) = (engine.clone(), build.clone());
    tokio::task::spawn_blocking(move || {
        let _pending = pending;
        work.keep(&engine, &build);
    });
}

impl Work {
    /// Explains those steps that are `of_interest` and had to be worked for, unless the build has more than
    /// `most` steps.
    async fn look(
        mut self,
        engine: &Arc<Engine>,
        build: &Arc<Build>,
        of_interest: impl Fn(&VertexDigest) -> bool,
        most: usize,
    ) -> Self {
        if let Some(session) = engine.sessions.peek(&build.session) {
            self.lineage = Digest::of(session.shared_key()).hex();
        }
        let Some(traces) = build.job.traces(most) else {
            self.is_too_large = most == MOST_STEPS;
            return self;
        };
        self.traces = traces;
        let worked = |trace: &&Trace| matches!(trace.answer, Answer::Ran | Answer::Joined);
        let wanted: Vec<VertexDigest> = self.traces.iter().filter(worked).map(|trace| trace.vertex).collect();
        let wanted: Vec<VertexDigest> = wanted.into_iter().filter(of_interest).collect();
        if wanted.is_empty() {
            return self;
        }
        let (engine, build) = (engine.clone(), build.clone());
        let explaining = tokio::task::spawn_blocking(move || {
            self.explain(&engine, &build, &wanted);
            self
        });
        // It panicked, which its thread has said: what was found out is lost, and nothing else.
        explaining.await.unwrap_or_default()
    }

    /// Brings the graph to where the solver was when it was last looked at.
    fn catch_up(&mut self, engine: &Engine, build: &Build) {
        let definitions = std::mem::take(&mut build.course.state.lock().definitions);
        for definition in definitions {
            self.graph.add(&definition, engine.explanations.history.salt());
        }
        self.graph.learn(&self.traces);
    }

    fn explain(&mut self, engine: &Engine, build: &Build, vertices: &[VertexDigest]) {
        self.catch_up(engine, build);
        let indexes = vertices.iter().filter_map(|vertex| self.graph.index(vertex));
        let wanted: Vec<usize> = indexes.filter(|index| self.explained.insert(*index)).collect();
        if wanted.is_empty() {
            return;
        }
        let _one = engine.explanations.one.lock();
        let history = &engine.explanations.history;
        // What a client sends comes with every build: where nothing else ran, nothing is compared.
        let mut told = wanted.iter().filter_map(|index| self.graph.steps.get(*index));
        if self.earlier.is_none() && told.any(|step| step.own_reason().is_none()) {
            self.earlier = Some(self.candidates(history));
        }
        let earlier = self.earlier.as_deref().unwrap_or_default();
        let current = self.graph.build(&build.id, &self.lineage, build.course.began_at);
        tell::explain(&engine.worker, history, &mut self.graph, &current, earlier, &wanted);
        let told = wanted.iter().filter_map(|index| self.graph.steps.get(*index));
        let is_news = |step: &&Step| step.causes.iter().any(|cause| !cause.kind.is_ordinary());
        build.course.tell(told.filter(is_news).cloned());
    }

    fn candidates(&self, history: &History) -> Vec<Known> {
        history.candidates(&self.lineage, tell::MOST_COMPARED).unwrap_or_else(|error| {
            tracing::warn!(error = %with_causes(&error), "earlier builds cannot be read");
            Vec::new()
        })
    }

    fn keep(&mut self, engine: &Engine, build: &Build) {
        if self.is_too_large {
            return;
        }
        self.catch_up(engine, build);
        if self.graph.steps.is_empty() || self.graph.is_cut() {
            return;
        }
        let history = &engine.explanations.history;
        let mut known = self.graph.build(&build.id, &self.lineage, build.course.began_at);
        // What cannot be read adds nothing.
        if let Ok(Some(before)) = history.latest(&self.lineage) {
            inherit(&mut known, &before);
        }
        if let Err(error) = history.keep(&known, &self.graph.materials) {
            tracing::warn!(build = build.id, error = %with_causes(&error), "a build's steps are not kept");
        }
    }
}
