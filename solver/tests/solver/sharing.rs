//! Equal work is done once, for all who want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use slipway_solver::*;

use crate::world::{Gate, Step, World};

/// Runs until `gate` opens; says when it began. Heeds the stop signal.
pub(crate) fn gated(step: Step, began: &Gate, gate: &Gate) -> Step {
    let (began, gate) = (began.clone(), gate.clone());
    step.runs(move |ctx, _| {
        let (began, gate) = (began.clone(), gate.clone());
        async move {
            began.open();
            tokio::select! {
                () = gate.passed() => Ok("done".to_owned()),
                () = ctx.stop.cancelled() => Err("killed".into()),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vertex_of_two_jobs_runs_once() {
    let world = World::new();
    let (began, gate) = (Gate::new(), Gate::new());
    let slow = gated(world.step("slow"), &began, &gate).done();
    let (one, two) = (world.job(), world.job());
    let (a, b, ()) = tokio::join!(one.build(&slow), two.build(&slow), async {
        began.passed().await;
        gate.open();
    });
    assert_eq!((a.unwrap().value, b.unwrap().value), ("done".into(), "done".into()));
    assert_eq!(world.runs(), 1);
}

/// Different vertices, one execution. Design point 2: and nothing is loaded.
#[tokio::test(flavor = "multi_thread")]
async fn equal_executions_of_different_vertices_merge() {
    let world = World::new();
    let base = world.step("base").done();
    let twins: Vec<_> =
        (0..8).map(|salt| world.step("twin").salt(&salt.to_string()).on(&base).done()).collect();
    let all = twins.iter().fold(world.step("all"), |step, twin| step.on(twin)).done();
    let built = world.build(&all).await.unwrap();
    assert_eq!(built, format!("all({})", ["twin(base())"; 8].join(",")));
    assert_eq!((world.count("exec twin"), world.store.loads()), (1, 0));
}

/// Design point 2, with the record visible long before the twin looks.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_made_is_not_loaded() {
    let world = World::new();
    let job = world.job();
    job.build(&world.step("a").digest("same").done()).await.unwrap();
    job.build(&world.step("b").digest("same").done()).await.unwrap();
    assert_eq!((world.runs(), world.store.loads()), (1, 0));
}

/// Design point 3.
#[tokio::test(flavor = "multi_thread")]
async fn a_finished_vertex_is_looked_up_by_what_it_learnt() {
    let world = World::new();
    let base = world.step("base").done();
    let job = world.job();
    job.build(&world.step("a").digest("app").on_content(&base).done()).await.unwrap();
    job.build(&world.step("b").digest("app").on_content(&base).done()).await.unwrap();
    assert_eq!(world.count("exec b"), 0);
    assert_eq!(world.count("content b 0"), 0, "its definition was enough");
}

/// Design point 5.
#[tokio::test(flavor = "multi_thread")]
async fn forced_never_joins_unforced() {
    let world = World::new();
    let (began, gate) = (Gate::new(), Gate::new());
    let app = |forced: bool| {
        let step = gated(world.step("app"), &began, &gate);
        if forced { step.forced() } else { step }.done()
    };
    let unforced = app(false);
    let (one, two) = (world.job(), world.job());
    let (a, b, ()) = tokio::join!(
        one.build(&unforced),
        async {
            began.passed().await;
            two.build(&app(true)).await
        },
        async {
            while world.count("exec app") < 2 {
                tokio::task::yield_now().await;
            }
            gate.open();
        }
    );
    a.unwrap();
    b.unwrap();
}

/// Design point 5.
#[tokio::test(flavor = "multi_thread")]
async fn unforced_joins_forced() {
    let world = World::new();
    let (began, gate) = (Gate::new(), Gate::new());
    let app = |forced: bool, salt: &str| {
        let step = gated(world.step("app").salt(salt), &began, &gate);
        if forced { step.forced() } else { step }.done()
    };
    for salt in ["same vertex", ""] {
        let (one, two) = (world.job(), world.job());
        let (forced, unforced) = (app(true, "same vertex"), app(false, salt));
        let (a, b, ()) = tokio::join!(
            one.build(&forced),
            async {
                began.passed().await;
                two.build(&unforced).await
            },
            async {
                began.passed().await;
                gate.open();
            }
        );
        a.unwrap();
        b.unwrap();
    }
    assert_eq!(world.runs(), 2);
}

/// A consumer of a forced vertex is another one than the consumer of the unforced.
#[tokio::test(flavor = "multi_thread")]
async fn forcing_reaches_consumers_that_another_job_has_finished() {
    let world = World::new();
    let app = |forced: bool| {
        let base = world.step("base");
        let base = if forced { base.forced() } else { base }.done();
        world.step("app").on(&base).done()
    };
    let (one, two) = (world.job(), world.job());
    one.build(&app(false)).await.unwrap();
    two.build(&app(true)).await.unwrap();
    assert_eq!(world.count("exec base"), 2);
}

/// Design point 1.
#[tokio::test(flavor = "multi_thread")]
async fn going_from_question_to_demand_restarts_nothing() {
    let world = World::new();
    let (began, gate) = (Gate::new(), Gate::new());
    let slow = gated(world.step("slow"), &began, &gate).done();
    let late = {
        let began = began.clone();
        let before = move |_| {
            let began = began.clone();
            async move {
                began.passed().await; // `slow` runs, to be hashed
                Ok(())
            }
        };
        let gate = gate.clone();
        let opens = move |_: OpContext<String>, _| {
            gate.open(); // by now `slow` is wanted for itself
            async { Ok("late".to_owned()) }
        };
        world.step("late").before_map(before).runs(opens).done()
    };
    let app = world.step("app").on_content(&slow).on(&late).done();
    world.build(&app).await.unwrap();
    assert_eq!(world.count("exec slow"), 1);
}

/// Design point 18.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_parallelism_is_held_only_while_running() {
    let world = World::new();
    let limit = Arc::new(tokio::sync::Semaphore::new(1));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let limited = |name: &str| {
        let (now, most) = (now.clone(), most.clone());
        world.step(name).limited(&limit).runs(move |_, _| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok("done".to_owned())
            }
        })
    };
    let bases: Vec<_> = (0..8).map(|n| limited(&format!("base-{n}")).done()).collect();
    let app = bases.iter().fold(limited("app"), |step, base| step.on(base)).done();
    world.build(&app).await.unwrap();
    assert_eq!((world.runs(), most.load(Ordering::SeqCst)), (9, 1));
}

/// Design point 20.
#[tokio::test(flavor = "multi_thread")]
async fn shared_work_may_use_the_sessions_of_all_live_jobs() {
    let world = World::new();
    let (began, gate) = (Gate::new(), Gate::new());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let step = |salt: &str| {
        let (began, gate, seen) = (began.clone(), gate.clone(), seen.clone());
        world
            .step("app")
            .salt(salt)
            .runs(move |ctx, _| {
                let (began, gate, seen) = (began.clone(), gate.clone(), seen.clone());
                async move {
                    began.open();
                    while sorted(&ctx) != ["one", "three", "two"] {
                        tokio::task::yield_now().await;
                    }
                    gate.open();
                    while sorted(&ctx) != ["three", "two"] {
                        tokio::task::yield_now().await;
                    }
                    *seen.lock() = sorted(&ctx);
                    Ok("done".to_owned())
                }
            })
            .done()
    };
    let job = |id: &str| world.job_with(id, &[id], Arc::new(Silent), Vec::new());
    let (one, two, three) = (job("one"), job("two"), job("three"));
    let same = step("");
    let first = async {
        tokio::select! {
            _ = one.build(&same) => panic!("cancelled too late"),
            () = gate.passed() => one.cancel(),
        }
    };
    let second = async {
        began.passed().await;
        two.build(&same).await.unwrap();
    };
    // Another vertex, the same execution.
    let third = async {
        began.passed().await;
        three.build(&step("twin")).await.unwrap();
    };
    tokio::join!(first, second, third);
    assert_eq!(*seen.lock(), ["three", "two"]);
    assert_eq!(world.runs(), 1);
}

fn sorted(ctx: &OpContext<String>) -> Vec<String> {
    let mut sessions = ctx.sessions();
    sessions.sort();
    sessions
}
