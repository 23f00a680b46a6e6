//! Failures name their vertex, keep their type, and are remembered as long as somebody cares.

use slipway_solver::*;

use crate::world::World;

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("exit code {0}")]
struct Exit(i32);

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_own_error_comes_back() {
    let world = World::new();
    let bad = world.step("bad").runs(|_, _| async { Err(Exit(3).into()) }).done();
    let app = world.step("app").on(&bad).done();
    let failed = world.build(&app).await.unwrap_err();
    assert_eq!(failed.find::<Exit>(), Some(&Exit(3)));
    assert_eq!(failed.vertex(), Some(bad.vertex.digest));
    assert_eq!((failed.to_string(), failed.reason()), ("cannot solve bad".into(), "exit code 3".into()));
}

/// Design point 22.
#[tokio::test(flavor = "multi_thread")]
async fn errors_are_remembered_as_long_as_the_vertex_lives() {
    let world = World::new();
    let bad = world.step("bad").runs(|_, _| async { Err(Exit(1).into()) }).done();
    let job = world.job();
    job.build(&bad).await.unwrap_err();
    job.build(&bad).await.unwrap_err();
    assert_eq!(world.runs(), 1);
    job.discard().await;
    world.build(&bad).await.unwrap_err();
    assert_eq!(world.runs(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_are_failures() {
    let world = World::new();
    let base = world.step("base").done();
    let cases = [
        world.step("exec").runs(|_, _| async { panic!("oh {}", "no") }).done(),
        world.step("map").before_map(|_| async { panic!("oh no") }).done(),
        world.step("content").on_content_as(&base, |_| panic!("oh no")).done(),
    ];
    for case in cases {
        let failed = world.build(&world.step("app").on(&case).done()).await.unwrap_err();
        assert_eq!(failed.find::<Panicked>().unwrap().0, "oh no");
        assert_eq!(failed.vertex(), Some(case.vertex.digest));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_does_not_exist_is_an_error() {
    let world = World::new();
    let base = world.step("base").done();
    let app = world.step("app").on(&Edge::new(&base.vertex, 7)).done();
    let failed = world.build(&app).await.unwrap_err();
    assert_eq!(failed.find(), Some(&Contract::Output { output: 7, outputs: 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_map_must_have_a_rule_for_every_input() {
    struct Broken;
    #[async_trait::async_trait]
    impl Op<String> for Broken {
        async fn cache_map(&self, _: &OpContext<String>, _: usize) -> OpResult<CacheMap<String>> {
            Ok(CacheMap::new(OpDigest(Digest::of("broken")), 0))
        }
        async fn exec(&self, _: &OpContext<String>, _: Vec<String>) -> OpResult<Vec<String>> {
            Ok(Vec::new())
        }
    }
    let world = World::new();
    let vertex = Vertex {
        digest: VertexDigest(Digest::of("broken")),
        name: "broken".into(),
        inputs: vec![world.step("base").done()],
        ignore_cache: false,
        progress_group: None,
        op: std::sync::Arc::new(Broken),
    };
    let failed = world.build(&Edge { vertex: vertex.into(), output: 0 }).await.unwrap_err();
    assert_eq!(failed.find(), Some(&Contract::Rules { inputs: 1, rules: 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_with_endless_names_is_refused() {
    let world = World::new();
    let endless = (0..100).fold(world.step("endless"), |step, n| step.also_named(&n.to_string())).done();
    assert!(matches!(world.build(&endless).await.unwrap_err().find(), Some(Contract::Names(_))));
}

/// Vertices that share an execution share its failure, but each says that it was itself: the user of
/// one may never have heard of the other.
#[tokio::test(flavor = "multi_thread")]
async fn of_twins_that_fail_each_names_itself() {
    let world = World::new();
    let twin = |salt: &str| world.step("bad").salt(salt).runs(|_, _| async { Err(Exit(1).into()) }).done();
    let job = world.job();
    for twin in [twin("one"), twin("two")] {
        assert_eq!(job.build(&twin).await.unwrap_err().vertex(), Some(twin.vertex.digest));
    }
    assert_eq!(world.runs(), 1);
}

/// Once such a source made every vertex that asked it ask again, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_source_that_panics_fails_the_vertex() {
    struct Broken;
    #[async_trait::async_trait]
    impl RecordSource<String> for Broken {
        fn knows(&self, _: &KeyId) -> bool {
            panic!("oh no")
        }
        fn follow(&self, _: &KeyId, _: &Link) -> Vec<KeyId> {
            Vec::new()
        }
        fn origins(&self, _: &KeyId) -> Vec<(KeyId, Link)> {
            Vec::new()
        }
        fn records(&self, _: &KeyId) -> Vec<Record> {
            Vec::new()
        }
        async fn load(&self, _: &Record, _: &OpContext<String>) -> Result<String, Failure> {
            Err("nothing".into())
        }
    }
    let world = World::new();
    let broken: std::sync::Arc<dyn RecordSource<String>> = std::sync::Arc::new(Broken);
    let job = world.job_with("job", &[], std::sync::Arc::new(Silent), vec![broken]);
    let failed = job.build(&world.step("app").done()).await.unwrap_err();
    assert_eq!(failed.find::<Panicked>().unwrap().0, "oh no");
}
