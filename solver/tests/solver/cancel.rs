//! Work that nobody wants any more ends, in order, and leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slipway_solver::*;

use crate::sharing::gated;
use crate::world::{Gate, World};

#[tokio::test(flavor = "multi_thread")]
async fn discarding_waits_until_cancelled_work_has_come_down() {
    let world = World::new();
    let (began, cleaned) = (Gate::new(), Arc::new(AtomicBool::new(false)));
    let slow = {
        let (began, cleaned) = (began.clone(), cleaned.clone());
        world
            .step("slow")
            .runs(move |ctx, _| {
                let (began, cleaned) = (began.clone(), cleaned.clone());
                async move {
                    began.open();
                    ctx.stop.cancelled().await;
                    for _ in 0..1000 {
                        tokio::task::yield_now().await; // unmounts this and that
                    }
                    cleaned.store(true, Ordering::SeqCst);
                    Err("killed".into())
                }
            })
            .done()
    };
    let app = world.step("app").on(&world.step("middle").on(&slow).done()).done();
    let job = Arc::new(world.job());
    let build = tokio::spawn({
        let job = job.clone();
        async move { job.build(&app).await }
    });
    began.passed().await;
    job.cancel();
    assert!(matches!(build.await.unwrap(), Err(Error::Cancelled)));
    Arc::into_inner(job).unwrap().discard().await;
    assert!(cleaned.load(Ordering::SeqCst));
    assert_eq!(world.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_takes_nothing_from_the_other() {
    let world = World::new();
    let (began, gate) = (Gate::new(), Gate::new());
    let app = world.step("app").on(&gated(world.step("slow"), &began, &gate).done()).done();
    let (one, two) = (world.job(), world.job());
    let (a, b, ()) = tokio::join!(one.build(&app), two.build(&app), async {
        began.passed().await;
        one.cancel();
        gate.open();
    });
    assert!(a.is_err() || a.unwrap().value == "app(done)", "it may have been quicker");
    assert_eq!(b.unwrap().value, "app(done)");
    assert_eq!(world.count("exec slow"), 1);
    one.discard().await;
    assert!(world.solver.active() > 0);
    two.discard().await;
    assert_eq!(world.solver.active(), 0, "memory goes with the last job");
}

/// A joined execution goes on when its leader leaves.
#[tokio::test(flavor = "multi_thread")]
async fn an_execution_outlives_the_vertex_that_started_it() {
    let world = World::new();
    let (began, joined, gate) = (Gate::new(), Gate::new(), Gate::new());
    let twin = |salt: &str| {
        let root = world.step("root").salt(salt).done();
        let (began, joined, gate) = (began.clone(), joined.clone(), gate.clone());
        let waits = move |ctx: OpContext<String>, _| {
            let (began, joined, gate) = (began.clone(), joined.clone(), gate.clone());
            async move {
                began.open();
                while ctx.sessions().len() < 2 {
                    tokio::task::yield_now().await;
                }
                joined.open();
                gate.passed().await;
                if ctx.stop.is_cancelled() { Err("killed".into()) } else { Ok("done".to_owned()) }
            }
        };
        world.step("slow").salt(salt).runs(waits).on(&root).prepared().done()
    };
    let (leader, follower) = (twin("leader"), twin("follower"));
    let job = |id: &str| world.job_with(id, &[id], Arc::new(Silent), Vec::new());
    let (one, two) = (job("one"), job("two"));
    let follower_job = async {
        began.passed().await;
        two.build(&follower).await.unwrap()
    };
    let leader_job = async {
        tokio::select! {
            _ = one.build(&leader) => panic!("not cancelled"),
            () = joined.passed() => one.cancel(),
        }
        one.discard().await;
        gate.open();
    };
    let (built, ()) = tokio::join!(follower_job, leader_job);
    assert_eq!(built.value, "done");
    assert_eq!(world.count("exec slow"), 1);
    two.discard().await;
    assert_eq!(world.store.all_records().len(), 2, "and was saved");
}

/// What was started for one and is waited for by another goes on when the first leaves: saving, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_saved_though_its_leader_left() {
    let world = World::new();
    let (saving, go) = (Gate::new(), Gate::new());
    // Forced roots ask for their second name only when they save.
    let twin = |salt: &str| {
        let (saving, go, asked) = (saving.clone(), go.clone(), AtomicBool::new(false));
        let before = move |_| {
            let second = asked.swap(true, Ordering::SeqCst);
            let (saving, go) = (saving.clone(), go.clone());
            async move {
                if second {
                    saving.open();
                    go.passed().await;
                }
                Ok(())
            }
        };
        world.step("root").salt(salt).also_named("second").forced().before_map(before)
    };
    let heard = Arc::new(crate::progress::Recorder::default());
    let one = world.job();
    let two = world.job_with("two", &[], heard.clone(), Vec::new());
    let leader = twin("leader").done();
    let joined = Gate::new();
    let follower = twin("follower").done();
    let watcher = {
        let joined = joined.clone();
        let leader = leader.clone();
        async move {
            tokio::select! {
                _ = one.build(&leader) => panic!("not cancelled"),
                () = joined.passed() => {}
            }
            one.discard().await;
        }
    };
    let follower_job = async {
        saving.passed().await;
        let build = two.build(&follower);
        tokio::pin!(build);
        // Identified, and then told of the execution that it joined.
        let completed = || heard.told().iter().filter(|line| *line == "root completed").count();
        while completed() < 2 {
            assert!(futures::poll!(build.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        joined.open();
        let (built, ()) = tokio::join!(build, open_when_alone(&world, &go));
        built.unwrap()
    };
    let ((), built) = tokio::join!(watcher, follower_job);
    assert_eq!(built.value, "root()");
    assert_eq!(world.runs(), 1);
}

/// Opens `go` once only one vertex is left in memory.
async fn open_when_alone(world: &World, go: &Gate) {
    for _ in 0..10_000 {
        if world.solver.active() < 2 {
            break;
        }
        tokio::task::yield_now().await;
    }
    go.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_work_is_made_anew_by_the_next_who_asks() {
    let world = World::new();
    let (began, gate) = (Gate::new(), Gate::new());
    let app = world.step("app").on(&gated(world.step("slow"), &began, &gate).done()).done();
    let job = world.job();
    // Dropping a build cancels that build alone.
    tokio::select! {
        _ = job.build(&app) => panic!("done too early"),
        () = began.passed() => {}
    }
    gate.open();
    assert_eq!(job.build(&app).await.unwrap().value, "app(done)");
    assert!(world.count("exec slow") <= 2);
    job.discard().await;
}

/// Design point 11.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_says_cancelled_by_itself_has_failed() {
    let world = World::new();
    let app = world.step("app").runs(|_, _| async { Err(Error::Cancelled.into()) }).done();
    let failed = world.build(&world.step("all").on(&app).done()).await.unwrap_err();
    assert_eq!(failed.vertex(), Some(app.vertex.digest));
    assert_eq!(world.count("exec app"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_failure_stops_what_runs_beside_it() {
    let world = World::new();
    let (began, never) = (Gate::new(), Gate::new());
    let slow = gated(world.step("slow"), &began, &never).done();
    let fails = {
        let began = began.clone();
        world
            .step("fails")
            .runs(move |_, _| {
                let began = began.clone();
                async move {
                    began.passed().await;
                    Err("no".into())
                }
            })
            .done()
    };
    let failed = world.build(&world.step("app").on(&slow).on(&fails).done()).await.unwrap_err();
    assert_eq!(failed.vertex(), Some(fails.vertex.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_job_leaves_no_vertex_in_memory() {
    let world = World::new();
    for round in 0..3 {
        let base = world.step("base").done();
        world.build(&world.step(&format!("app-{round}")).on(&base).done()).await.unwrap();
        assert_eq!(world.solver.active(), 0);
    }
    let job = world.job();
    job.build(&world.step("last").done()).await.unwrap();
    assert_eq!(world.solver.active(), 1);
    drop(job);
    assert_eq!(world.solver.active(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_graphs_need_no_deep_stack() {
    let world = World::new();
    let mut edge = world.step("0").gives("x").done();
    for depth in 1..20_000 {
        edge = world.step(&depth.to_string()).on(&edge).gives("x").done();
    }
    assert_eq!(world.build(&edge).await.unwrap(), "x");
    assert_eq!(world.runs(), 20_000);
    assert_eq!(world.solver.active(), 0);
}
