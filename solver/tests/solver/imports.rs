//! Imported caches: asked beside the store, and what they give is kept there.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use slipway_solver::*;

use crate::world::{World, there};

fn graph(world: &World) -> Edge<String> {
    let base = world.step("base").option("base's layers".to_owned()).done();
    let source = world.step("source").gives("files").done();
    let middle = world.step("middle").on(&base).on_content(&source).done();
    world.step("app").on(&middle).done()
}

async fn elsewhere() -> Arc<MemoryRecords<String>> {
    let world = World::on(Arc::new(MemoryRecords::new("elsewhere")));
    world.build(&graph(&world)).await.unwrap();
    world.store.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_result_and_its_chain_are_kept() {
    let remote = elsewhere().await;
    let world = World::new();
    let job = world.job_with("job", &[], Arc::new(Silent), vec![remote.clone()]);
    job.build(&graph(&world)).await.unwrap();
    job.discard().await;
    assert_eq!((world.runs(), remote.loads()), (0, 1));
    let world = world.restarted();
    world.build(&graph(&world)).await.unwrap();
    assert_eq!((world.runs(), remote.loads()), (0, 1), "the store has it all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_fails_is_gone_without() {
    let remote = elsewhere().await;
    remote.refuse_loads(|_| true);
    let world = World::new();
    let job = world.job_with("job", &[], Arc::new(Silent), vec![remote.clone()]);
    job.build(&graph(&world)).await.unwrap();
    assert_eq!(world.count("exec app"), 1);
}

/// Design point 19.
#[tokio::test(flavor = "multi_thread")]
async fn loading_sees_the_options_of_vertices_far_below() {
    struct Lazy(Arc<MemoryRecords<String>>, Mutex<Vec<String>>);
    #[async_trait]
    impl RecordSource<String> for Lazy {
        fn knows(&self, root: &KeyId) -> bool {
            self.0.knows(root)
        }
        fn follow(&self, key: &KeyId, link: &Link) -> Vec<KeyId> {
            self.0.follow(key, link)
        }
        fn origins(&self, key: &KeyId) -> Vec<(KeyId, Link)> {
            self.0.origins(key)
        }
        fn records(&self, key: &KeyId) -> Vec<Record> {
            self.0.records(key)
        }
        async fn load(&self, record: &Record, ctx: &OpContext<String>) -> Result<String, Failure> {
            self.1.lock().extend(ctx.option(|option: &Arc<String>| Some(option.to_string())));
            self.0.load(record, ctx).await
        }
    }
    let remote = Arc::new(Lazy(elsewhere().await, Mutex::default()));
    let world = World::new();
    let job = world.job_with("job", &[], Arc::new(Silent), vec![remote.clone()]);
    job.build(&graph(&world)).await.unwrap();
    assert_eq!(*remote.1.lock(), ["base's layers"]);
}

/// The clock of whoever exported may be ahead: its records are newer than what was kept of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_again_and_again_is_kept_once() {
    let remote = elsewhere().await;
    let world = World::new();
    for _ in 0..3 {
        let job = world.job_with("job", &[], Arc::new(Silent), vec![remote.clone()]);
        job.build(&graph(&world)).await.unwrap();
        job.discard().await;
    }
    assert_eq!((world.runs(), world.store.all_records().len()), (0, 1));
}

/// A base that `value` stands for elsewhere, and that is made here as `base`.
async fn lazy_base(value: &str) -> (World, Job<String>, Edge<String>) {
    let there = World::on(Arc::new(MemoryRecords::new("elsewhere")));
    there.build(&there.step("base").gives(value).done()).await.unwrap();
    let world = World::new();
    let job = world.job_with("job", &[], Arc::new(Silent), vec![there.store.clone()]);
    let base = world.step("base").done();
    (world, job, base)
}

/// Design point 17: what is lazy may turn out to be lost when others count on it already.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_made_anew() {
    let (world, job, base) = lazy_base("lost base").await;
    let app = world.step("app").on(&base).prepared().done();
    let twin = world.step("twin").on_content(&base).prepared().done();
    let (app, twin) = tokio::join!(job.build(&app), job.build(&twin));
    assert_eq!((app.unwrap().value, twin.unwrap().value), ("app(base())".into(), "twin(base())".into()));
    assert_eq!(world.count("exec base"), 1);
    job.discard().await;
    let world = world.restarted();
    let base = world.step("base").done();
    world.build(&world.step("other").on(&base).prepared().done()).await.unwrap();
    assert_eq!((world.count("exec base"), world.count("exec other")), (0, 1), "what was made is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_result_is_made_real_for_who_reads_it() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let prepare = || -> PrepareFn<String> {
        let asked = asked.clone();
        Arc::new(move |_, value| {
            asked.lock().push(value.clone());
            Box::pin(async move { there(&value) })
        })
    };
    let (world, job, base) = lazy_base("lost base").await;
    assert_eq!(job.build(&base).await.unwrap().value, "lost base");
    assert_eq!((world.runs(), asked.lock().len()), (0, 0), "nobody reads it");
    assert_eq!(job.build_real(&base, prepare()).await.unwrap().value, "base()");
    // Once from the cache, once from the store, which kept what it cannot give either.
    assert_eq!(*asked.lock(), ["lost base", "lost base", "base()"]);

    let (world, job, base) = lazy_base("a base").await;
    assert_eq!(job.build_real(&base, prepare()).await.unwrap().value, "a base");
    assert_eq!(world.runs(), 0);
}

/// That a result cannot be had is a matter of caches: what was just made fails like everything else.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_here_cannot_be_lost() {
    let world = World::new();
    let base = world.step("base").gives("lost base").done();
    let app = world.step("app").on(&base).prepared().done();
    let error = world.build(&app).await.unwrap_err();
    assert!(error.reason().contains("its layers are gone"), "{}", error.reason());
    assert_eq!(world.count("exec base"), 1);
}
