//! Imported caches: asked beside the store, and what they give is kept there.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use slipway_solver::*;

use crate::world::World;

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
