//! A world of fake operations in which every call is written down.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use slipway_solver::*;

pub(crate) type V = String;
pub(crate) type Exec =
    Arc<dyn Fn(OpContext<V>, Vec<V>) -> BoxFuture<'static, OpResult<Vec<V>>> + Send + Sync>;
type See = Arc<dyn Fn(&V) -> String + Send + Sync>;
type Before = Arc<dyn Fn(OpContext<V>) -> BoxFuture<'static, OpResult<()>> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Arc<MemoryRecords<V>>,
    pub(crate) solver: Solver<V>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryRecords::new("memory")))
    }

    pub(crate) fn on(store: Arc<MemoryRecords<V>>) -> Self {
        let solver = Solver::new(SolverOptions { store: store.clone() });
        Self { store, solver, calls: Arc::default() }
    }

    /// The same store, a new solver, nothing written down yet.
    pub(crate) fn restarted(&self) -> Self {
        Self::on(self.store.clone())
    }

    pub(crate) fn job(&self) -> Job<V> {
        self.job_with("job", &[], Arc::new(Silent), Vec::new())
    }

    pub(crate) fn job_with(
        &self,
        id: &str,
        sessions: &[&str],
        progress: Arc<dyn Progress>,
        imports: Vec<Arc<dyn RecordSource<V>>>,
    ) -> Job<V> {
        let sessions = sessions.iter().map(|s| (*s).to_owned()).collect();
        self.solver.job(JobOptions { id: id.into(), sessions, progress, imports, parallelism: None })
    }

    /// A job that runs no more than `parallelism` operations at once.
    pub(crate) fn job_of_at_most(&self, parallelism: usize) -> Job<V> {
        self.solver.job(JobOptions {
            id: "job".into(),
            sessions: Vec::new(),
            progress: Arc::new(Silent),
            imports: Vec::new(),
            parallelism: Some(parallelism),
        })
    }

    /// Builds in a job of its own.
    pub(crate) async fn build(&self, edge: &Edge<V>) -> Result<V> {
        let job = self.job();
        let built = job.build(edge).await;
        job.discard().await;
        built.map(|built| built.value)
    }

    pub(crate) fn step(&self, name: &str) -> Step {
        Step {
            world: self.clone(),
            name: name.into(),
            digest: name.into(),
            salt: String::new(),
            names: Vec::new(),
            inputs: Vec::new(),
            forced: false,
            persistent: true,
            options: Vec::new(),
            before: None,
            exec: None,
            limit: None,
            outputs: 1,
        }
    }

    pub(crate) fn note(&self, call: impl Into<String>) {
        self.calls.lock().push(call.into());
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls.lock().iter().filter(|known| *known == call).count()
    }

    /// How often any operation ran.
    pub(crate) fn runs(&self) -> usize {
        self.calls.lock().iter().filter(|call| call.starts_with("exec ")).count()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().clone()
    }
}

/// A vertex to be.
pub(crate) struct Step {
    world: World,
    name: String,
    digest: String,
    salt: String,
    names: Vec<String>,
    inputs: Vec<(Edge<V>, Rule)>,
    forced: bool,
    persistent: bool,
    options: Vec<Arc<dyn std::any::Any + Send + Sync>>,
    before: Option<Before>,
    exec: Option<Exec>,
    limit: Option<Arc<tokio::sync::Semaphore>>,
    outputs: usize,
}

#[derive(Clone, Default)]
struct Rule {
    selector: Option<String>,
    content: Option<See>,
    prepare: bool,
}

impl Step {
    /// An input known by its definition.
    pub(crate) fn on(mut self, edge: &Edge<V>) -> Self {
        self.inputs.push((edge.clone(), Rule::default()));
        self
    }

    /// An input known by its content, too.
    pub(crate) fn on_content(self, edge: &Edge<V>) -> Self {
        self.on_content_as(edge, V::clone)
    }

    pub(crate) fn on_content_as(
        mut self,
        edge: &Edge<V>,
        see: impl Fn(&V) -> String + Send + Sync + 'static,
    ) -> Self {
        self.inputs.push((edge.clone(), Rule { content: Some(Arc::new(see)), ..Rule::default() }));
        self
    }

    pub(crate) fn selector(mut self, selector: &str) -> Self {
        self.last_rule().selector = Some(selector.into());
        self
    }

    pub(crate) fn prepared(mut self) -> Self {
        self.last_rule().prepare = true;
        self
    }

    fn last_rule(&mut self) -> &mut Rule {
        &mut self.inputs.last_mut().expect("an input").1
    }

    pub(crate) fn digest(mut self, digest: &str) -> Self {
        self.digest = digest.into();
        self
    }

    /// Another vertex that looks the same.
    pub(crate) fn salt(mut self, salt: &str) -> Self {
        self.salt = salt.into();
        self
    }

    /// Further names for itself.
    pub(crate) fn also_named(mut self, name: &str) -> Self {
        self.names.push(name.into());
        self
    }

    pub(crate) fn forced(mut self) -> Self {
        self.forced = true;
        self
    }

    pub(crate) fn session_bound(mut self) -> Self {
        self.persistent = false;
        self
    }

    pub(crate) fn option(mut self, option: impl std::any::Any + Send + Sync) -> Self {
        self.options.push(Arc::new(option));
        self
    }

    pub(crate) fn outputs(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }

    pub(crate) fn limited(mut self, limit: &Arc<tokio::sync::Semaphore>) -> Self {
        self.limit = Some(limit.clone());
        self
    }

    /// Happens before it answers how it is cached.
    pub(crate) fn before_map<F>(mut self, before: impl Fn(OpContext<V>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = OpResult<()>> + Send + 'static,
    {
        self.before = Some(Arc::new(move |ctx| Box::pin(before(ctx))));
        self
    }

    pub(crate) fn gives(self, value: &str) -> Self {
        let value = value.to_owned();
        self.runs(move |_, _| {
            let value = value.clone();
            async move { Ok(value) }
        })
    }

    pub(crate) fn runs<F>(self, exec: impl Fn(OpContext<V>, Vec<V>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = OpResult<V>> + Send + 'static,
    {
        let exec = Arc::new(exec);
        Self {
            exec: Some(Arc::new(move |ctx, inputs| {
                let work = exec(ctx, inputs);
                Box::pin(async move { Ok(vec![work.await?]) })
            })),
            ..self
        }
    }

    /// Operations do not hold the graph: that is the solver's business, however deep it is.
    fn unwired(mut self) -> Self {
        self.inputs.clear();
        self
    }

    pub(crate) fn done(self) -> Edge<V> {
        let mut text = format!("{} {} {}", self.name, self.digest, self.salt);
        for (edge, rule) in &self.inputs {
            text += &format!(" {}/{}/{:?}", edge.vertex.digest, edge.output, rule.selector);
        }
        let vertex = Arc::new(Vertex {
            digest: VertexDigest(Digest::of(text)),
            name: self.name.clone(),
            inputs: self.inputs.iter().map(|(edge, _)| edge.clone()).collect(),
            ignore_cache: self.forced,
            progress_group: None,
            op: Arc::new(Fake {
                rules: self.inputs.iter().map(|(_, rule)| rule.clone()).collect(),
                step: self.unwired(),
            }),
        });
        Edge { vertex, output: 0 }
    }
}

struct Fake {
    step: Step,
    rules: Vec<Rule>,
}

#[async_trait]
impl Op<V> for Fake {
    async fn cache_map(&self, ctx: &OpContext<V>, index: usize) -> OpResult<CacheMap<V>> {
        let Self { step, rules } = self;
        step.world.note(format!("map {} {index}", step.name));
        if let Some(before) = &step.before {
            before(ctx.clone()).await?;
        }
        let digest = if index == 0 { &step.digest } else { &step.names[index - 1] };
        let mut map = CacheMap::new(OpDigest(Digest::of(digest)), rules.len());
        map.persistent = step.persistent;
        map.more = index < step.names.len();
        map.options = step.options.clone();
        for (input, (rule, mine)) in map.inputs.iter_mut().zip(rules).enumerate() {
            let (name, world) = (step.name.clone(), step.world.clone());
            rule.selector = mine.selector.as_ref().map(|selector| Selector(Digest::of(selector)));
            rule.content = mine.content.clone().map(|see| -> ContentDigestFn<V> {
                let (name, world) = (name.clone(), world.clone());
                Arc::new(move |_, value| {
                    world.note(format!("content {name} {input}"));
                    let see = see.clone();
                    Box::pin(async move { Ok(ContentDigest(Digest::of(see(&value)))) })
                })
            });
            rule.prepare = mine.prepare.then(|| -> PrepareFn<V> {
                Arc::new(move |_, value| {
                    world.note(format!("prepare {name} {input}"));
                    Box::pin(async move { there(&value) })
                })
            });
        }
        Ok(map)
    }

    async fn acquire(&self, _ctx: &OpContext<V>) -> OpResult<Permit> {
        match &self.step.limit {
            Some(limit) => Ok(Permit::holding(limit.clone().acquire_owned().await?)),
            None => Ok(Permit::none()),
        }
    }

    async fn exec(&self, ctx: &OpContext<V>, inputs: Vec<V>) -> OpResult<Vec<V>> {
        let Self { step, .. } = self;
        step.world.note(format!("exec {}", step.name));
        match &step.exec {
            Some(exec) => exec(ctx.clone(), inputs).await,
            None => {
                let value = format!("{}({})", step.digest, inputs.join(","));
                Ok((0..step.outputs)
                    .map(|output| if output == 0 { value.clone() } else { format!("{value}@{output}") })
                    .collect())
            }
        }
    }
}

/// Whether a lazy value can be had: those that say so cannot.
pub(crate) fn there(value: &V) -> OpResult<()> {
    match value.starts_with("lost") {
        true => Err(Lost(Arc::from(Failure::from("its layers are gone"))).into()),
        false => Ok(()),
    }
}

/// Opens once, for all who wait now or later.
#[derive(Clone)]
pub(crate) struct Gate(tokio::sync::watch::Sender<bool>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(tokio::sync::watch::Sender::new(false))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}
