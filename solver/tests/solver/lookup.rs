//! What is looked up, what is loaded, what runs.

use slipway_solver::*;

use crate::world::{Gate, World};

fn root_key(digest: &str) -> KeyId {
    KeyId::root(OpDigest(Digest::of(digest)), 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_build_loads_the_result_and_nothing_below_it() {
    let world = World::new();
    let graph = |world: &World| {
        let base = world.step("base").done();
        let app = world.step("app").on(&base).done();
        world.step("pack").on(&app).on_content(&base).done()
    };
    let built = world.build(&graph(&world)).await.unwrap();
    assert_eq!(built, "pack(app(base()),base())");
    assert_eq!(world.runs(), 3);
    let world = world.restarted();
    assert_eq!(world.build(&graph(&world)).await.unwrap(), built);
    assert_eq!((world.runs(), world.store.loads()), (0, 1));
    assert_eq!(world.count("content pack 1"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_have_results_of_their_own() {
    let world = World::new();
    let graph = |world: &World| world.step("two").on(&world.step("base").done()).outputs(2).done();
    let second = |edge: &Edge<String>| Edge::new(&edge.vertex, 1);
    let edge = graph(&world);
    let job = world.job();
    assert_eq!(job.build(&edge).await.unwrap().value, "two(base())");
    assert_eq!(job.build(&second(&edge)).await.unwrap().value, "two(base())@1");
    assert_eq!(world.count("exec two"), 1);
    job.discard().await;
    let world = world.restarted();
    assert_eq!(world.build(&second(&graph(&world))).await.unwrap(), "two(base())@1");
    assert_eq!(world.runs(), 0);
}

/// Design point 6.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_known_by_its_definition_is_not_loaded_for_hashing() {
    let world = World::new();
    let graph = |world: &World, source: &str| {
        let base = world.step("base").done();
        let source = world.step(source).gives("files").done();
        world.step("app").on_content(&base).on_content(&source).done()
    };
    world.build(&graph(&world, "source-1")).await.unwrap();
    let world = world.restarted();
    world.build(&graph(&world, "source-2")).await.unwrap();
    assert_eq!(world.count("exec app"), 0);
    assert_eq!(world.count("exec base"), 0);
    assert_eq!(world.count("content app 0"), 0, "the base was hashed: {:?}", world.calls());
    assert_eq!(world.store.loads(), 1, "only the app is loaded");
}

/// Design point 7.
#[tokio::test(flavor = "multi_thread")]
async fn a_match_by_content_teaches_the_definition() {
    let world = World::new();
    let graph = |world: &World, source: &str| {
        let source = world.step(source).gives("files").done();
        world.step("app").on_content(&source).done()
    };
    world.build(&graph(&world, "source-1")).await.unwrap();
    let world = world.restarted();
    world.build(&graph(&world, "source-2")).await.unwrap();
    assert_eq!(world.calls().iter().filter(|c| c.starts_with("exec")).collect::<Vec<_>>(), ["exec source-2"]);
    let world = world.restarted();
    let loads = world.store.loads();
    world.build(&graph(&world, "source-2")).await.unwrap();
    assert_eq!(world.runs(), 0);
    assert_eq!(world.store.loads() - loads, 1);
    assert_eq!(world.count("content app 0"), 0);
}

/// Design point 8.
#[tokio::test(flavor = "multi_thread")]
async fn selectors_belong_to_definition_keys() {
    let copy = |world: &World, name: &str, selector: &str, content: &'static str| {
        let base = world.step("base").done();
        let copy = world.step(name).digest("copy").on_content_as(&base, move |_| content.into());
        copy.selector(selector).done()
    };
    // Restarted, so that only records can tell what is equal.
    let world = World::new();
    world.build(&copy(&world, "a", "/a", "same")).await.unwrap();
    let world = world.restarted();
    world.build(&copy(&world, "b", "/b", "same")).await.unwrap();
    assert_eq!(world.count("exec b"), 0, "equal content is equal whatever was selected");
    let world = world.restarted();
    world.build(&copy(&world, "c", "/c", "other")).await.unwrap();
    assert_eq!(world.count("exec c"), 1, "another selector is no match by definition");
}

/// Design point 9.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_is_saved_under_all_its_names_and_asked_for_them_one_by_one() {
    let world = World::new();
    let image =
        |world: &World| world.step("image").digest("tag").also_named("manifest").also_named("config").done();
    world.build(&image(&world)).await.unwrap();
    assert_eq!(world.count("map image 2"), 1);
    let world = world.restarted();
    world.build(&image(&world)).await.unwrap();
    assert_eq!((world.runs(), world.count("map image 0"), world.count("map image 1")), (0, 1, 0));
    let by_last = world.step("other").digest("other-tag").also_named("config").done();
    world.build(&by_last).await.unwrap();
    assert_eq!(world.runs(), 0);
}

/// Design point 10.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_falls_back_to_the_next_record() {
    let world = World::new();
    let app = |world: &World| world.step("app").on(&world.step("base").done()).done();
    world.build(&app(&world)).await.unwrap();
    let forced = world.step("app").on(&world.step("base").done()).forced().done();
    world.build(&forced).await.unwrap();
    let world = world.restarted();
    let loads = world.store.loads();
    let newest = world.store.all_records().into_iter().max_by_key(|record| record.created).unwrap();
    world.store.refuse_loads(move |record| record.id == newest.id);
    world.build(&app(&world)).await.unwrap();
    assert_eq!((world.runs(), world.store.loads() - loads), (0, 2));
}

/// Design point 10.
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_loads_it_runs_and_the_failure_is_remembered() {
    let world = World::new();
    let base = |world: &World| world.step("base").done();
    world.build(&base(&world)).await.unwrap();
    let world = world.restarted();
    world.store.refuse_loads(|_| true);
    let job = world.job();
    // Two vertices, one record.
    let twin = world.step("base").salt("twin").done();
    job.build(&world.step("app").on(&base(&world)).on(&twin).done()).await.unwrap();
    assert_eq!(world.count("exec base"), 1);
    assert_eq!(world.store.loads(), 1);
}

/// Design point 13.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_record_leads_on() {
    let world = World::new();
    let graph = |world: &World| {
        let base = world.step("base").done();
        let middle = world.step("middle").on(&base).done();
        world.step("app").on(&middle).done()
    };
    let job = world.job();
    let app = graph(&world);
    job.build(&app).await.unwrap();
    let middle = job.build(&app.vertex.inputs[0]).await.unwrap();
    job.discard().await;
    let forgotten = [middle.keys, vec![root_key("base")]].concat();
    for record in world.store.all_records() {
        if forgotten.contains(&record.key) {
            world.store.forget(&record.id);
        }
    }
    assert_eq!(world.store.all_records().len(), 1);
    let world = world.restarted();
    world.build(&graph(&world)).await.unwrap();
    assert_eq!(world.runs(), 0);
}

/// Design point 14.
#[tokio::test(flavor = "multi_thread")]
async fn session_bound_roots_are_found_by_their_content_only() {
    let world = World::new();
    let graph = |world: &World, session: &str| {
        let local = world.step("local").digest(session).session_bound().gives("files").done();
        let copy = world.step("copy").on_content(&local).done();
        let run = world.step("run").on(&copy).done();
        (world.step("bind").on(&local).done(), run)
    };
    let (bind, run) = graph(&world, "session-1");
    let job = world.job();
    job.build(&run).await.unwrap();
    job.build(&bind).await.unwrap();
    job.discard().await;
    // Neither the local source nor what only it names is in the store.
    assert_eq!(world.store.all_records().len(), 2, "copy and run");
    assert!(
        world
            .store
            .all_links()
            .iter()
            .all(|(from, _, to)| !from.is_session_bound() && !to.is_session_bound())
    );
    assert!(!RecordSource::knows(&*world.store, &root_key("session-1")));
    let world = world.restarted();
    world.build(&graph(&world, "session-2").1).await.unwrap();
    assert_eq!(world.calls().iter().filter(|c| c.starts_with("exec")).collect::<Vec<_>>(), ["exec local"]);
}

/// Design point 17.
#[tokio::test(flavor = "multi_thread")]
async fn lazy_inputs_are_made_real_before_running_but_not_for_a_hit() {
    let world = World::new();
    let graph = |world: &World| {
        let base = world.step("base").done();
        world.step("app").on(&base).prepared().on_content(&base).prepared().done()
    };
    let world_calls = |world: &World| (world.count("prepare app 0"), world.count("prepare app 1"));
    world.build(&graph(&world)).await.unwrap();
    assert_eq!(world_calls(&world), (1, 1));
    let calls = world.calls();
    let at = |call: &str| calls.iter().position(|known| known == call).unwrap();
    assert!(at("prepare app 0") < at("exec app") && at("prepare app 1") < at("content app 1"));
    let world = world.restarted();
    world.build(&graph(&world)).await.unwrap();
    assert_eq!(world_calls(&world), (0, 0));
}

/// Design point 4.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_run_is_not_looked_up_through_but_its_content_counts() {
    let world = World::new();
    let graph = |world: &World, forced: bool| {
        let base = world.step("base").gives("files");
        let base = if forced { base.forced() } else { base }.done();
        let by_definition = world.step("by-definition").on(&base).done();
        let by_content = world.step("by-content").on_content(&base).done();
        world.step("all").on(&by_definition).on(&by_content).done()
    };
    world.build(&graph(&world, false)).await.unwrap();
    let world = world.restarted();
    world.build(&graph(&world, true)).await.unwrap();
    assert_eq!(world.count("exec base"), 1);
    assert_eq!(world.count("exec by-definition"), 1, "what is forced below runs again");
    assert_eq!(world.count("exec by-content"), 0, "equal content is equal");
    let world = world.restarted();
    world.build(&graph(&world, false)).await.unwrap();
    assert_eq!(world.runs(), 0, "what a forced run made is saved");
}

/// Answers of a first, cheap push may each be right and yet not meet.
#[tokio::test(flavor = "multi_thread")]
async fn where_first_answers_do_not_meet_all_inputs_are_pushed_to_the_end() {
    let world = World::new();
    let app = |world: &World, left: (&str, &str), right: (&str, &str)| {
        let left = world.step(left.0).gives(left.1).done();
        let right = world.step(right.0).gives(right.1).done();
        let base = world.step("base").done();
        world.step("app").on_content(&left).on_content(&right).on(&base).done()
    };
    world.build(&app(&world, ("left-1", "a"), ("right-1", "x"))).await.unwrap();
    world.build(&app(&world, ("left-2", "y"), ("right-2", "b"))).await.unwrap();
    world.build(&app(&world, ("left-3", "a"), ("right-3", "b"))).await.unwrap();
    let loads = world.store.loads();
    let world = world.restarted();
    world.build(&app(&world, ("left-1", "a"), ("right-2", "b"))).await.unwrap();
    assert_eq!(world.runs(), 0);
    assert_eq!(world.store.loads() - loads, 3, "both to be hashed, and the app; not the base");
}

/// The cache learns while inputs are on their way: what they carry is looked up once more.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_job_saved_meanwhile_is_found_before_running() {
    let world = World::new();
    let (started, gate) = (Gate::new(), Gate::new());
    let unknown = world.step("unknown").done();
    let slow = world
        .step("slow")
        .runs({
            let (started, gate) = (started.clone(), gate.clone());
            move |_, _| {
                let (started, gate) = (started.clone(), gate.clone());
                async move {
                    started.open();
                    gate.passed().await;
                    Ok("files".into())
                }
            }
        })
        .done();
    let quick = world.step("quick").gives("files").done();
    let first = world.step("first").digest("app").on(&unknown).on_content(&slow).done();
    let second = world.step("second").digest("app").on(&unknown).on_content(&quick).done();
    let job = world.job();
    let (built, ()) = tokio::join!(job.build(&first), async {
        started.passed().await;
        world.build(&second).await.unwrap();
        gate.open();
    });
    built.unwrap();
    assert_eq!((world.count("exec second"), world.count("exec first")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_loaded_result_include_those_it_was_found_by() {
    let world = World::new();
    let (old, new) = (world.step("old").gives("files").done(), world.step("new").gives("files").done());
    let app = |on: &Edge<String>| world.step("app").on_content(on).done();
    world.build(&app(&old)).await.unwrap();
    let job = world.job();
    let built = job.build(&app(&new)).await.unwrap();
    assert_eq!(built.keys.len(), 1);
    let record = world.store.records(&built.keys[0]);
    assert_eq!(record.len(), 1);
}
