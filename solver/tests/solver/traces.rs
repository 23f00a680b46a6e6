//! What is told about how vertices got their results.

use slipway_solver::*;

use crate::world::World;

fn graph(world: &World) -> Edge<String> {
    let base = world.step("base").done();
    let source = world.step("source").gives("files").done();
    let middle = world.step("middle").on(&base).on_content(&source).done();
    world.step("app").on(&middle).done()
}

/// Of every vertex of one build of `edge`, from the last to the first.
async fn traces(world: &World, edge: &Edge<String>) -> Vec<Trace> {
    let job = world.job();
    let _ = job.build(edge).await;
    let all = job.traces(100).unwrap();
    let (mut vertices, mut found) = (vec![edge.vertex.clone()], Vec::new());
    while let Some(vertex) = vertices.pop() {
        found.push(all.iter().find(|trace| trace.vertex == vertex.digest).unwrap().clone());
        vertices.extend(vertex.inputs.iter().map(|input| input.vertex.clone()));
    }
    job.discard().await;
    found
}

fn answers(traces: &[Trace]) -> Vec<&'static str> {
    let name = |trace: &Trace| match trace.answer {
        Answer::Unasked => "unasked",
        Answer::Found(_) => "found",
        Answer::Loaded(_) => "loaded",
        Answer::Joined => "joined",
        Answer::Ran => "ran",
    };
    traces.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_was_loaded_or_was_not_needed_is_told() {
    let world = World::new();
    let first = traces(&world, &graph(&world)).await;
    assert_eq!(answers(&first), ["ran"; 4]);
    let middle = &first[1];
    assert!(middle.done && !middle.failed && middle.keys.len() == 1, "{middle:?}");
    assert_eq!(middle.contents.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);

    let world = world.restarted();
    let second = traces(&world, &graph(&world)).await;
    assert_eq!(answers(&second)[0], "loaded");
    assert!(answers(&second)[1..].iter().all(|answer| !["ran", "loaded"].contains(answer)), "{second:#?}");
    assert_eq!(second[0].keys, first[0].keys);
    assert_eq!(second[0].operations, first[0].operations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_does_not_load_is_told_with_the_reason() {
    let world = World::new();
    traces(&world, &graph(&world)).await;
    let world = world.restarted();
    world.store.refuse_loads(|_| true);
    let again = traces(&world, &graph(&world)).await;
    assert_eq!(answers(&again)[0], "ran");
    assert!(again[0].refused[0].contains("is gone"), "{:?}", again[0].refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_job_is_not_traced_and_one_that_ended_has_nothing_to_tell() {
    let world = World::new();
    let edge = graph(&world);
    let job = world.job();
    job.build(&edge).await.unwrap();
    assert!(job.traces(3).is_none());
    assert_eq!(job.traces(4).map(|traces| traces.len()), Some(4));
    job.end().await;
    assert_eq!(job.traces(3).map(|traces| traces.len()), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vertices_spend_their_time_on_is_told() {
    let world = World::new();
    let edge = graph(&world);
    let spent = async |world: &World, edge: &Edge<String>| {
        let job = world.job();
        job.build(edge).await.unwrap();
        let spent = job.spent(100);
        job.discard().await;
        let found = spent.into_iter().find(|(vertex, _)| *vertex == edge.vertex.digest).unwrap().1;
        found
            .phases
            .iter()
            .map(|span| span.phase)
            .filter(|phase| *phase != Phase::Identify)
            .collect::<Vec<_>>()
    };
    assert_eq!(spent(&world, &edge).await, [Phase::Queue, Phase::Run, Phase::Save]);
    assert_eq!((world.solver.phase(Phase::Run).count, world.solver.phase(Phase::Digest).count), (4, 1));
    assert_eq!(world.solver.queued_and_running(), (0, 0));
    let world = world.restarted();
    assert_eq!(spent(&world, &graph(&world)).await, [Phase::Load]);
    assert_eq!(world.solver.phase(Phase::Run).count, 0);
}
