//! Operations that have further graphs solved.

use std::sync::Arc;

use parking_lot::Mutex;
use slipway_solver::*;

use crate::sharing::PATIENCE;
use crate::world::{Gate, Step, World};

fn building(step: Step, edge: Edge<String>) -> Step {
    step.runs(move |ctx, _| {
        let edge = edge.clone();
        async move { Ok(format!("<{}>", ctx.build(&edge).await?.value)) }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_can_have_a_graph_solved() {
    let world = World::new();
    let base = world.step("base").done();
    let inner = world.step("inner").on(&base).done();
    let outer = building(world.step("outer"), inner).on(&base).done();
    assert_eq!(world.build(&outer).await.unwrap(), "<inner(base())>");
    assert_eq!(world.count("exec base"), 1, "shared with the outer graph");
    assert_eq!(world.solver.active(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_can_one_that_is_asked_how_it_is_cached() {
    let world = World::new();
    let inner = world.step("inner").done();
    let outer = world.step("outer").before_map({
        let inner = inner.clone();
        move |ctx| {
            let inner = inner.clone();
            async move {
                ctx.build(&inner).await?;
                Ok(())
            }
        }
    });
    world.build(&outer.done()).await.unwrap();
    assert_eq!((world.count("exec inner"), world.count("exec outer")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_a_sub_build_names_the_vertex_that_failed() {
    let world = World::new();
    let inner = world.step("inner").runs(|_, _| async { Err("no".into()) }).done();
    let outer = building(world.step("outer"), inner.clone()).done();
    assert_eq!(world.build(&outer).await.unwrap_err().vertex(), Some(inner.vertex.digest));
}

/// Design point 12.
#[tokio::test(flavor = "multi_thread")]
async fn a_sub_build_equal_to_its_parent_does_not_join_it() {
    let world = World::new();
    let same = world.step("same").salt("inner").gives("inner").done();
    let middle = world.step("middle").on(&same).done();
    let outer = building(world.step("outer").digest("same"), middle).done();
    let built =
        tokio::time::timeout(PATIENCE, world.build(&outer)).await.expect("it does not wait for itself");
    assert_eq!(built.unwrap(), "<middle(inner)>");
    assert_eq!(world.runs(), 3);
}

/// Design point 12, with the twin wanted by another job before anybody knows of the sub-build.
#[tokio::test(flavor = "multi_thread")]
async fn a_sub_build_equal_to_its_parent_that_has_joined_it_leaves_it_again() {
    let world = World::new();
    let began = Gate::new();
    let twin = world.step("same").salt("twin").gives("twin").done();
    let middle = world.step("middle").on(&twin).done();
    let outer = world.step("outer").digest("same").runs(move |ctx, _| {
        let (began, middle) = (began.clone(), middle.clone());
        async move {
            began.open();
            while ctx.sessions().len() < 2 {
                tokio::task::yield_now().await; // until the twin has joined
            }
            let built = ctx.build(&middle).await?;
            assert_eq!(ctx.sessions(), ["one"], "the twin is served no more");
            Ok(built.value)
        }
    });
    let (job, recorder) = (
        |id: &str, progress| world.job_with(id, &[id], progress, Vec::new()),
        Arc::new(crate::progress::Recorder::default()),
    );
    let (one, two) = (job("one", Arc::new(Silent)), job("two", recorder.clone()));
    let outer = outer.done();
    let both = async { tokio::join!(one.build(&outer), two.build(&twin)) };
    let (a, b) = tokio::time::timeout(PATIENCE, both).await.expect("neither waits for the other");
    assert_eq!((a.unwrap().value, b.unwrap().value), ("middle(twin)".into(), "twin".into()));
    assert_eq!(world.runs(), 3);
    two.discard().await;
    assert_eq!(recorder.told().last().unwrap(), "same completed");
}

/// Design point 12, where it cannot end.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_needs_itself_fails() {
    let world = World::new();
    let slot: Arc<Mutex<Option<Edge<String>>>> = Arc::default();
    let outer = {
        let slot = slot.clone();
        world
            .step("outer")
            .runs(move |ctx, _| {
                let edge = slot.lock().clone().unwrap();
                async move { Ok(ctx.build(&edge).await?.value) }
            })
            .done()
    };
    for edge in [outer.clone(), world.step("around").on(&outer).done()] {
        *slot.lock() = Some(edge);
        let failed = world.build(&outer).await.unwrap_err();
        assert_eq!(failed.find(), Some(&Contract::AsksForItself));
    }
    *slot.lock() = None;
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_builds_have_the_sessions_and_the_progress_of_their_jobs() {
    let world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inner = {
        let seen = seen.clone();
        world
            .step("inner")
            .runs(move |ctx, _| {
                seen.lock().extend(ctx.sessions());
                async { Ok("inner".into()) }
            })
            .done()
    };
    let outer = building(world.step("outer"), inner).done();
    let recorder = Arc::new(crate::progress::Recorder::default());
    let job = world.job_with("job", &["session"], recorder.clone(), Vec::new());
    job.build(&outer).await.unwrap();
    job.discard().await;
    assert_eq!(*seen.lock(), ["session"]);
    assert_eq!(
        recorder.told(),
        [
            "outer",
            "outer started",
            "outer completed",
            "outer started",
            "inner",
            "inner started",
            "inner completed",
            "inner started",
            "inner completed",
            "outer completed"
        ]
    );
}
