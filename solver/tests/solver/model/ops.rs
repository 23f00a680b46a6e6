//! The operations of a story, and the graphs a job has solved.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use slipway_solver::*;
use tokio::sync::Semaphore;

use super::ledger::{Begin, Ledger};
use super::plan::{Look, OUTPUTS, Plan, Step, Trouble, content_digest, of, selector};

/// What operations pass to each other.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) number: u64,
    /// The execution that made it.
    pub(crate) stamp: usize,
    /// That, and those that made what it was made of, as far as only definitions were looked at.
    pub(crate) made_of: Arc<BTreeSet<usize>>,
    /// It came out of a cache that cannot give it, which shows when somebody makes it real.
    pub(crate) lost: bool,
}

/// What a job's vertices are made with.
pub(crate) struct Workshop<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) ledger: &'a Ledger,
    pub(crate) limit: &'a Arc<Semaphore>,
    pub(crate) session: &'a str,
    pub(crate) forced: &'a BTreeSet<usize>,
}

struct Operation {
    step: Step,
    digest: OpDigest,
    ledger: Ledger,
    limit: Arc<Semaphore>,
    forced: bool,
    inputs: Vec<VertexDigest>,
    sub_build: Option<(Edge<Made>, Option<u64>)>,
    names: Vec<OpDigest>,
}

/// How often each input was made real, since the solver asked how the operation is cached: it asks once for
/// as long as it remembers the vertex. A graph that is asked for again by a vertex that outlived it is a new one.
struct Real(Vec<AtomicUsize>);

impl Workshop<'_> {
    /// Output 0 of every step.
    pub(crate) fn vertices(&self) -> Vec<Edge<Made>> {
        let oracle = self.plan.oracle();
        let mut made: Vec<Edge<Made>> = Vec::new();
        for step in &self.plan.steps {
            let digest = step.digest(self.session);
            let inputs: Vec<_> =
                step.inputs.iter().map(|i| Edge::new(&made[i.step].vertex, i.output)).collect();
            let mut text = format!("{digest} {} {:?}", step.salt, step.second_name);
            for (edge, input) in inputs.iter().zip(&step.inputs) {
                text += &format!(" {}/{} {:?} {}", edge.vertex.digest, edge.output, input.look, input.lazy);
            }
            let vertex_digest = VertexDigest(Digest::of(text));
            let operation = Operation {
                step: step.clone(),
                digest,
                ledger: self.ledger.clone(),
                limit: self.limit.clone(),
                forced: self.forced.contains(&step.index),
                inputs: inputs.iter().map(|edge| edge.vertex.digest).collect(),
                sub_build: step.sub_build.map(|sub| (made[sub].clone(), oracle[sub])),
                names: step.second_name.iter().map(|name| OpDigest(Digest::of(name))).collect(),
            };
            let vertex = Vertex {
                digest: vertex_digest,
                name: format!("step {}", step.index),
                inputs,
                ignore_cache: self.forced.contains(&step.index),
                progress_group: None,
                op: Arc::new(operation),
            };
            made.push(Edge { vertex: Arc::new(vertex), output: 0 });
        }
        made
    }
}

/// How an execution ended.
enum End {
    Whole(OpResult<Vec<Made>>),
    Panics,
    Killed,
}

#[async_trait]
impl Op<Made> for Operation {
    async fn cache_map(&self, _: &OpContext<Made>, index: usize) -> OpResult<CacheMap<Made>> {
        self.ledger.pause().await;
        let digest = if index == 0 { self.digest } else { self.names[index - 1] };
        let mut map = CacheMap::new(digest, self.inputs.len());
        map.more = index < self.names.len();
        map.persistent = index > 0 || !self.step.session_bound;
        let real = Arc::new(Real(self.inputs.iter().map(|_| AtomicUsize::new(0)).collect()));
        map.options.push(real.clone());
        for (at, (rule, input)) in map.inputs.iter_mut().zip(&self.step.inputs).enumerate() {
            let look = input.look;
            if let Look::Selected(part) = look {
                rule.selector = Some(selector(part));
            }
            if look != Look::Definition {
                let ledger = self.ledger.clone();
                rule.content = Some(Arc::new(move |_, value: Made| {
                    let ledger = ledger.clone();
                    Box::pin(async move {
                        ledger.pause().await;
                        Ok(content_digest(look.sees(value.number)))
                    })
                }));
            }
            if input.lazy {
                let (ledger, real) = (self.ledger.clone(), real.clone());
                rule.prepare = Some(Arc::new(move |_, value: Made| {
                    let (ledger, real) = (ledger.clone(), real.clone());
                    Box::pin(async move {
                        ledger.pause().await;
                        if value.lost {
                            ledger.count("lost");
                            return Err(Lost(Arc::from(Failure::from("it is lost"))).into());
                        }
                        if real.0[at].fetch_add(1, Ordering::Relaxed) > 0 {
                            ledger.broken("an input was made real twice".into());
                        }
                        Ok(())
                    })
                }));
            }
        }
        Ok(map)
    }

    async fn acquire(&self, _: &OpContext<Made>) -> OpResult<Permit> {
        match self.step.limited {
            true => Ok(Permit::holding(self.limit.clone().acquire_owned().await?)),
            false => Ok(Permit::none()),
        }
    }

    async fn exec(&self, ctx: &OpContext<Made>, inputs: Vec<Made>) -> OpResult<Vec<Made>> {
        let Self { step, ledger, .. } = self;
        let identity = self.identity(&inputs);
        let running = ledger.begin(Begin {
            operation: self.digest,
            name: ctx.name(),
            identity,
            forced: self.forced,
            limited: step.limited,
            at_once: !step.limited && step.inputs.iter().all(|input| !input.lazy),
            stop: &ctx.stop,
        });
        let real = ctx.option(|real: &Arc<Real>| Some(real.clone()));
        let unreal = |real: &AtomicUsize| real.load(Ordering::Relaxed) == 0;
        let lazy = |real: Arc<Real>| step.inputs.iter().zip(&real.0).any(|(i, real)| i.lazy && unreal(real));
        let lost = step.inputs.iter().zip(&inputs).any(|(input, made)| input.lazy && made.lost);
        if lost || real.is_none_or(lazy) {
            ledger.broken(format!("{} runs on what is not real", ctx.name()));
        }
        match self.run(ctx, &inputs, running.stamp()).await {
            End::Killed => {
                running.end(false, ctx.sessions());
                Err("killed".into())
            }
            End::Whole(made) => {
                // Who fails when nobody waits any more may have failed for just that.
                running.end(made.is_ok() || !ctx.stop.is_cancelled(), ctx.sessions());
                made
            }
            End::Panics => {
                running.end(!ctx.stop.is_cancelled(), ctx.sessions());
                resume_unwind(Box::new("an operation that panics")) // without a word on the screen
            }
        }
    }
}

impl Operation {
    async fn run(&self, ctx: &OpContext<Made>, inputs: &[Made], stamp: usize) -> End {
        let Self { step, ledger, .. } = self;
        let deaf = ledger.chance(|random| random.once_in(5));
        let mut sub = None;
        for turn in 0..ledger.chance(|random| 1 + random.below(4)) {
            if turn == 0
                && let Some((edge, number)) = &self.sub_build
            {
                match ctx.build(edge).await {
                    Ok(built) => {
                        sub = Some(built.value.number);
                        if sub != *number {
                            ledger.broken("a sub-build gives what it should not".into());
                        }
                    }
                    Err(Error::Cancelled) if ctx.stop.is_cancelled() => return End::Killed,
                    Err(Error::Cancelled) => ledger.broken("a sub-build is lost".into()),
                    Err(error) => return End::Whole(Err(error.into())),
                }
            }
            ledger.pause().await;
            if ctx.stop.is_cancelled() && !deaf {
                ledger.pause().await; // cleans up
                return End::Killed;
            }
        }
        let seen: Vec<_> = step.inputs.iter().zip(inputs).map(|(i, made)| i.sees(made.number)).collect();
        let Some(number) = step.computed(&seen, sub) else {
            return match step.trouble {
                Trouble::Panics => End::Panics,
                Trouble::Cancels => End::Whole(Err(Error::Cancelled.into())),
                _ => End::Whole(Err("no".into())),
            };
        };
        let made_of = Arc::new(
            self.by_definition(inputs)
                .fold(BTreeSet::from([stamp]), |all, made| all.union(&made.made_of).copied().collect()),
        );
        let made = |output| Made { number: of(number, output), stamp, made_of: made_of.clone(), lost: false };
        End::Whole(Ok((0..OUTPUTS).map(made).collect()))
    }

    fn by_definition<'a>(&'a self, inputs: &'a [Made]) -> impl Iterator<Item = &'a Made> {
        let looks = self.step.inputs.iter().zip(inputs);
        looks.filter(|(input, _)| input.look == Look::Definition).map(|(_, made)| made)
    }

    /// What is done to what. Of inputs that a forced run had its part in nobody may say that they are
    /// equal, though the same run made them.
    fn identity(&self, inputs: &[Made]) -> Option<String> {
        let of_forced = |made: &Made| made.made_of.iter().any(|stamp| self.ledger.forced(*stamp).is_some());
        if self.by_definition(inputs).any(of_forced) {
            return None;
        }
        let mut text = self.digest.to_string();
        for ((input, vertex), made) in self.step.inputs.iter().zip(&self.inputs).zip(inputs) {
            text += &match input.look {
                Look::Definition => format!(" {vertex}/{}#{}", input.output, made.stamp),
                _ => format!(" {}", input.sees(made.number)),
            };
        }
        Some(text)
    }
}
