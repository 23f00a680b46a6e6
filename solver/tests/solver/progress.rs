//! What is told, and to whom.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_solver::*;

use crate::sharing::gated;
use crate::world::{Gate, World};

#[derive(Default)]
pub(crate) struct Recorder(Mutex<(HashMap<VertexDigest, String>, Vec<String>)>);

impl Progress for Recorder {
    fn tell(&self, event: Event) {
        let (names, told) = &mut *self.0.lock();
        let line = match event {
            Event::Vertex(vertex) => {
                let mut line = vertex.name.to_string();
                names.insert(vertex.digest, line.clone());
                if vertex.started.is_some() {
                    line += if vertex.completed.is_some() { " completed" } else { " started" };
                }
                if vertex.cached {
                    line += " cached";
                }
                if let Some(error) = vertex.error {
                    line += &format!(" ({error})");
                }
                line
            }
            Event::Log { vertex, data, stream, .. } => {
                format!("{} {stream}> {}", names[&vertex], String::from_utf8_lossy(&data))
            }
            Event::Status { vertex, status, .. } => {
                format!("{} {} {}/{}", names[&vertex], status.id, status.current, status.total)
            }
            Event::Warning { vertex, warning, .. } => {
                format!("{} warns {}", names[&vertex], String::from_utf8_lossy(&warning.short))
            }
        };
        told.push(line);
    }
}

impl Recorder {
    pub(crate) fn told(&self) -> Vec<String> {
        self.0.lock().1.clone()
    }
}

fn recorded(world: &World) -> (Arc<Recorder>, Job<String>) {
    let recorder = Arc::new(Recorder::default());
    (recorder.clone(), world.job_with("job", &[], recorder, Vec::new()))
}

fn graph(world: &World) -> Edge<String> {
    let base = world.step("base").done();
    let middle = world.step("middle").on(&base).done();
    let app = world.step("app").on(&middle).runs(|ctx, _| async move {
        ctx.log(1, "hello".into());
        ctx.status(Status { id: "pull".into(), current: 1, total: 2, ..Status::default() });
        ctx.warn(Warning { short: "old".into(), ..Warning::default() });
        Ok("app".into())
    });
    app.done()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_vertex_is_announced_before_its_consumers_and_then_told_of() {
    let world = World::new();
    let (recorder, job) = recorded(&world);
    job.build(&graph(&world)).await.unwrap();
    job.discard().await;
    let expected = "base, middle, app, base started, base completed, base started, base completed, \
        middle started, middle completed, app started, app 1> hello, app pull 1/2, app warns old, app completed";
    assert_eq!(recorder.told().join(", "), expected);
}

/// Design point 21.
#[tokio::test(flavor = "multi_thread")]
async fn inputs_of_a_cached_vertex_that_nobody_looked_at_are_cached() {
    let world = World::new();
    world.build(&graph(&world)).await.unwrap();
    let world = world.restarted();
    let (recorder, job) = recorded(&world);
    job.build(&graph(&world)).await.unwrap();
    job.discard().await;
    let expected = "base, middle, app, base started, base completed, middle completed cached, app started cached, \
        app completed cached";
    assert_eq!(recorder.told().join(", "), expected);
}

/// Design point 21.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_at_the_end_was_cut_short() {
    let world = World::new();
    let (began, never) = (Gate::new(), Gate::new());
    // Not asked how it is cached before it is known to run.
    let slow = gated(world.step("slow"), &began, &never).on(&world.step("base").done()).done();
    let (recorder, job) = recorded(&world);
    tokio::select! {
        _ = job.build(&slow) => panic!("done too early"),
        () = began.passed() => {}
    }
    job.discard().await;
    assert_eq!(recorder.told().last().unwrap(), "slow completed (context canceled)");
    let told = recorder.told().len();
    world.build(&graph(&world)).await.unwrap();
    assert_eq!(recorder.told().len(), told, "nothing is told any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_with_their_reason() {
    let world = World::new();
    let bad =
        world.step("bad").on(&world.step("base").done()).runs(|_, _| async { Err("exit code 1".into()) });
    let (recorder, job) = recorded(&world);
    job.build(&world.step("app").on(&bad.done()).done()).await.unwrap_err();
    job.discard().await;
    assert_eq!(recorder.told().last().unwrap(), "bad completed (exit code 1)");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_late_hears_all_and_twins_hear_each_other() {
    let world = World::new();
    let (logged, gate) = (Gate::new(), Gate::new());
    let step = |name: &str| {
        let (logged, gate) = (logged.clone(), gate.clone());
        world
            .step(name)
            .digest("same")
            .on(&world.step("base").done())
            .runs(move |ctx, _| {
                let (logged, gate) = (logged.clone(), gate.clone());
                async move {
                    ctx.log(1, "early".into());
                    logged.open();
                    gate.passed().await;
                    ctx.log(2, "late".into());
                    Ok("done".into())
                }
            })
            .done()
    };
    let (first, one) = recorded(&world);
    let (second, two) = recorded(&world);
    let (third, three) = recorded(&world);
    let (same, twin) = (step("same"), step("twin"));
    let (a, b, c) = tokio::join!(
        one.build(&same),
        async {
            logged.passed().await;
            two.build(&same).await
        },
        async {
            logged.passed().await;
            let build = three.build(&twin);
            tokio::pin!(build);
            while !third.told().contains(&"twin 1> early".to_owned()) {
                assert!(futures::poll!(build.as_mut()).is_pending());
                tokio::task::yield_now().await;
            }
            gate.open();
            build.await
        }
    );
    for built in [a, b, c] {
        built.unwrap();
    }
    for (recorder, name) in [(first, "same"), (second, "same"), (third, "twin")] {
        let told = recorder.told();
        let mine: Vec<_> = told.iter().filter(|line| line.starts_with(name)).cloned().collect();
        let expected =
            ["", " started", " 1> early", " 2> late", " completed"].map(|line| format!("{name}{line}"));
        assert_eq!(mine, expected);
    }
    assert_eq!(world.count("exec same") + world.count("exec twin"), 1);
}

/// What another job begins and gives up is of no concern to one that has what it wanted.
#[tokio::test(flavor = "multi_thread")]
async fn a_vertex_with_a_result_is_never_shown_as_cut_short() {
    for leaves_first in [true, false] {
        let world = World::new();
        world.build(&world.step("app").outputs(2).done()).await.unwrap();
        let world = world.restarted();
        let (began, gate) = (Gate::new(), Gate::new());
        let app = gated(world.step("app"), &began, &gate).done();
        let ((recorder, one), other) = (recorded(&world), world.job());
        one.build(&app).await.unwrap();
        let second_output = Edge::new(&app.vertex, 1); // nobody has saved it
        tokio::select! {
            _ = other.build(&second_output) => panic!("it waits"),
            () = began.passed() => {}
        }
        if leaves_first {
            other.discard().await;
            one.discard().await;
        } else {
            one.discard().await;
            other.discard().await;
        }
        let told = recorder.told();
        assert!(told.iter().all(|line| !line.contains("canceled")), "{told:?}");
        assert_eq!(told.last().unwrap(), "app completed cached", "{told:?}");
    }
}
