//! Random graphs, built in random ways, against a solver that just computes.
//!
//! Values are numbers; an operation that looks at an input's content sees only its remainder, so that
//! equal contents come from unequal inputs all the time. Run one seed again with
//! `SLIPWAY_SEED=<seed>`.

use slipway_model::Digest;
use slipway_solver::*;

use crate::chance::Random;
use crate::world::World;

/// A step of the plan: what it does, and what it does it to.
#[derive(Clone, Debug)]
struct Planned {
    operation: String,
    salt: usize,
    inputs: Vec<(usize, bool)>,
    second_name: Option<String>,
    session_bound: bool,
}

fn plan(random: &mut Random) -> Vec<Planned> {
    let steps = 3 + random.below(14);
    (0..steps)
        .map(|step| {
            let inputs = if step < 2 { 0 } else { random.below(4) };
            let inputs = (0..inputs).map(|_| (random.below(step), random.once_in(2))).collect::<Vec<_>>();
            let what = random.below(4);
            let root = inputs.is_empty();
            // Operations that look at their inputs in other ways are other operations.
            let looks: String =
                inputs.iter().map(|(_, by_content)| if *by_content { 'c' } else { 'd' }).collect();
            Planned {
                operation: format!("op-{what}-{looks}"),
                salt: random.below(2),
                inputs,
                second_name: (root && random.once_in(2)).then(|| format!("name-{what}")),
                session_bound: root && random.once_in(5),
            }
        })
        .collect()
}

const SEEN: u64 = 3;

/// What the operation of `step` makes of `inputs`.
fn computed(step: &Planned, inputs: &[u64]) -> u64 {
    let mut text = step.operation.clone();
    for ((_, by_content), value) in step.inputs.iter().zip(inputs) {
        text += &if *by_content { format!(" ~{}", value % SEEN) } else { format!(" {value}") };
    }
    let hash = Digest::of(text);
    u64::from(hash.as_bytes()[0]) * 256 + u64::from(hash.as_bytes()[1])
}

fn oracle(plan: &[Planned]) -> Vec<u64> {
    let mut values: Vec<u64> = Vec::new();
    for step in plan {
        let inputs: Vec<_> = step.inputs.iter().map(|(input, _)| values[*input]).collect();
        values.push(computed(step, &inputs));
    }
    values
}

fn vertices(
    world: &World,
    plan: &[Planned],
    session: &str,
    mut force: impl FnMut() -> bool,
) -> Vec<Edge<String>> {
    let mut edges: Vec<Edge<String>> = Vec::new();
    for step in plan {
        let mut made = world.step(&step.operation).digest(&step.operation).salt(&step.salt.to_string());
        if let Some(name) = &step.second_name {
            made = made.also_named(name);
        }
        if step.session_bound {
            made = made.digest(&format!("{} {session}", step.operation)).session_bound();
        }
        if force() {
            made = made.forced();
        }
        for (input, by_content) in &step.inputs {
            made = match by_content {
                true => {
                    made.on_content_as(&edges[*input], |v| (v.parse::<u64>().unwrap() % SEEN).to_string())
                }
                false => made.on(&edges[*input]),
            };
        }
        let step = step.clone();
        edges.push(
            made.runs(move |ctx, inputs| {
                let step = step.clone();
                async move {
                    tokio::task::yield_now().await;
                    if ctx.stop.is_cancelled() {
                        return Err("killed".into());
                    }
                    let inputs: Vec<_> = inputs.iter().map(|v| v.parse().unwrap()).collect();
                    Ok(computed(&step, &inputs).to_string())
                }
            })
            .done(),
        );
    }
    edges
}

async fn one_story(seed: u64) {
    let mut random = Random(seed);
    let plan = plan(&mut random);
    let expected = oracle(&plan);
    let mut world = World::new();
    for round in 0..6 {
        if random.once_in(2) {
            world = world.restarted();
        }
        let mut jobs = Vec::new();
        for job in 0..1 + random.below(3) {
            let forced_once_in = if random.once_in(3) { 4 } else { 1000 };
            let mut chance = Random(random.next());
            let edges = vertices(&world, &plan, &format!("{round}-{job}"), || chance.once_in(forced_once_in));
            let target = random.below(plan.len());
            let (cancelled, patience) = (random.once_in(4), random.below(60));
            let (world, expected) = (world.clone(), expected[target]);
            jobs.push(tokio::spawn(async move {
                let job = world.job();
                let built = async {
                    tokio::select! {
                        built = job.build(&edges[target]) => Some(built),
                        () = async {
                            for _ in 0..patience { tokio::task::yield_now().await; }
                            if !cancelled { std::future::pending::<()>().await; }
                        } => None,
                    }
                };
                if let Some(built) = built.await {
                    assert_eq!(built.unwrap().value, expected.to_string());
                }
                job.discard().await;
            }));
        }
        for job in jobs {
            job.await.unwrap();
        }
        assert_eq!(world.solver.active(), 0);
        for record in world.store.all_records() {
            if random.once_in(4) {
                world.store.forget(&record.id);
            }
        }
        let unlucky = random.next();
        world
            .store
            .refuse_loads(move |record| Digest::of(format!("{unlucky}{}", record.id)).as_bytes()[0] < 50);
    }
    all_is_cached_in_the_end(world, &plan, &expected).await;
}

/// Where equal results came to be under unequal keys, one build may lead to keys that another did not
/// link from; but every build teaches, so that it comes to an end.
async fn all_is_cached_in_the_end(world: World, plan: &[Planned], expected: &[u64]) {
    const PASSES: usize = 10;
    world.store.refuse_loads(|_| false);
    let mut ran = Vec::new();
    for _ in 0..PASSES {
        let world = world.restarted();
        let edges = vertices(&world, plan, "last", || false);
        for (edge, expected) in edges.iter().zip(expected) {
            assert_eq!(world.build(edge).await.unwrap(), expected.to_string());
        }
        ran = world.calls().iter().filter_map(|call| call.strip_prefix("exec ").map(String::from)).collect();
        if ran.is_empty() || plan.iter().any(|step| step.session_bound) {
            return;
        }
    }
    panic!("after {PASSES} builds of all, there still ran {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_graphs_solve_as_computed() {
    let seeds = match std::env::var("SLIPWAY_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..400).collect(),
    };
    for seed in seeds {
        let story = tokio::spawn(one_story(seed));
        let patience = std::time::Duration::from_secs(60);
        match tokio::time::timeout(patience, story).await {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => panic!("seed {seed}: {failed}"),
            Err(_) => panic!("seed {seed} hangs"),
        }
    }
}
