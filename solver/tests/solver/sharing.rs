//! Equal work is done once, for all who want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use slipway_solver::*;

use crate::world::{Gate, Step, World};

/// A test that waits for so long has failed.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

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
    // Its definition led to no key when it was asked first, and that is remembered.
    let base = world.step("base").on(&world.step("root").done()).done();
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
    let forced = async {
        began.passed().await;
        two.build(&app(true)).await
    };
    let opens = async {
        while world.count("exec app") < 2 {
            tokio::task::yield_now().await;
        }
        gate.open();
    };
    let all = async { tokio::join!(one.build(&unforced), forced, opens) };
    let (a, b, ()) = tokio::time::timeout(PATIENCE, all).await.expect("both run");
    a.unwrap();
    b.unwrap();
}

/// Design point 5.
#[tokio::test(flavor = "multi_thread")]
async fn unforced_joins_forced() {
    for (salt, vertices) in [("same vertex", 1), ("twin", 2)] {
        let world = World::new();
        let began = Gate::new();
        let app = |forced: bool, salt: &str| {
            let began = began.clone();
            let step = world.step("app").salt(salt).runs(move |ctx, _| {
                let began = began.clone();
                async move {
                    began.open();
                    while ctx.sessions().len() < 2 {
                        tokio::task::yield_now().await; // until the other has joined
                    }
                    Ok("done".to_owned())
                }
            });
            if forced { step.forced() } else { step }.done()
        };
        let job = |id: &str| world.job_with(id, &[id], Arc::new(Silent), Vec::new());
        let (one, two) = (job("one"), job("two"));
        let (forced, unforced) = (app(true, "same vertex"), app(false, salt));
        let late = async {
            began.passed().await;
            two.build(&unforced).await
        };
        let both = async { tokio::join!(one.build(&forced), late) };
        let (a, b) = tokio::time::timeout(PATIENCE, both).await.expect("the other joins");
        a.unwrap();
        b.unwrap();
        assert_eq!((world.runs(), world.solver.active()), (1, vertices));
    }
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

/// Design point 1, a vertex further up: that nothing is cached is clear before all inputs have answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_that_ends_early_stops_nothing_that_the_result_will_want() {
    let world = World::new();
    let (began, gate) = (Gate::new(), Gate::new());
    let slow = gated(world.step("slow"), &began, &gate).done();
    let late = {
        let before = move |_| {
            let began = began.clone();
            async move {
                began.passed().await; // `slow` runs, to be hashed; then this leads nowhere
                Ok(())
            }
        };
        let base = world.step("base").done();
        let opens = move |_: OpContext<String>, _| {
            gate.open();
            async { Ok("late".to_owned()) }
        };
        // Forced, so that nobody waits for its map to learn what its definition leads to.
        world.step("late").on(&base).forced().before_map(before).runs(opens).done()
    };
    let app = world.step("app").on_content(&slow).on(&late).done();
    world.build(&world.step("top").on(&app).done()).await.unwrap();
    assert_eq!(world.count("exec slow"), 1);
}

/// Design point 1, with more inputs than one poll of all of them gets to.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_inputs_are_not_restarted_either() {
    const INPUTS: usize = 300;
    let world = World::new();
    let (began, gate) = (Arc::new(AtomicUsize::new(0)), Gate::new());
    let slow = |n: usize| {
        let (began, gate) = (began.clone(), gate.clone());
        let waits = move |ctx: OpContext<String>, _| {
            let (began, gate) = (began.clone(), gate.clone());
            async move {
                began.fetch_add(1, Ordering::SeqCst);
                tokio::select! {
                    () = gate.passed() => Ok("done".to_owned()),
                    () = ctx.stop.cancelled() => Err("killed".into()),
                }
            }
        };
        world.step(&format!("slow-{n}")).runs(waits).done()
    };
    let late = {
        let (began, gate) = (began.clone(), gate.clone());
        let before = move |_| {
            let began = began.clone();
            async move {
                while began.load(Ordering::SeqCst) < INPUTS {
                    tokio::task::yield_now().await; // until all run, to be hashed
                }
                Ok(())
            }
        };
        let opens = move |_: OpContext<String>, _| {
            gate.open();
            async { Ok("late".to_owned()) }
        };
        world.step("late").before_map(before).runs(opens).done()
    };
    let app = (0..INPUTS).fold(world.step("app"), |step, n| step.on_content(&slow(n))).on(&late).done();
    world.build(&app).await.unwrap();
    assert_eq!(world.runs(), INPUTS + 2);
}

/// What a forced run made goes by the keys of what was there before, but is not the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_a_forced_run_is_not_what_another_job_made_before() {
    let world = World::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let app = |forced: bool| {
        let runs = runs.clone();
        let base = world.step("base").runs(move |_, _| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            async move { Ok(run.to_string()) }
        });
        let base = if forced { base.forced() } else { base }.done();
        world.step("top").on(&world.step("app").on(&base).done()).done()
    };
    let (one, two, three) = (world.job(), world.job(), world.job());
    assert_eq!(one.build(&app(false)).await.unwrap().value, "top(app(0))");
    assert_eq!(two.build(&app(true)).await.unwrap().value, "top(app(1))");
    assert_eq!(three.build(&app(true)).await.unwrap().value, "top(app(1))", "the same forced vertex");
    assert_eq!(world.count("exec top"), 2);
}

/// Design point 18, by the measure of a job.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_no_more_at_once_than_it_may() {
    let world = World::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = |name: String| {
        let (now, most) = (now.clone(), most.clone());
        world.step(&name).runs(move |_, _| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok("done".to_owned())
            }
        })
    };
    let bases: Vec<_> = (0..8).map(|n| counted(format!("base-{n}")).done()).collect();
    let app = bases.iter().fold(counted("app".into()), |step, base| step.on(base)).done();
    let job = world.job_of_at_most(2);
    job.build(&app).await.unwrap();
    assert_eq!(world.runs(), 9);
    assert!(most.load(Ordering::SeqCst) <= 2);
}

/// An operation that waits for its own sub-build does not keep it from running.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_one_at_a_time_can_have_sub_builds() {
    let world = World::new();
    let inner = world.step("inner").on(&world.step("base").done()).done();
    let outer = world.step("outer").runs(move |ctx, _| {
        let inner = inner.clone();
        async move { Ok(ctx.build(&inner).await?.value) }
    });
    let job = world.job_of_at_most(1);
    assert_eq!(job.build(&outer.done()).await.unwrap().value, "inner(base())");
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
