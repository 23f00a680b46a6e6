//! The record store on disk: what survives a restart, what is forgotten, and that a cached build asks
//! little.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use slipway_cache::{DiskRecords, LoadError, ResultStore};
use slipway_solver::*;
use slipway_store::metadata::{Durability, Metadata, MetadataOptions};

/// Results that outlive the process, so to speak.
#[derive(Default)]
struct Shelf {
    values: Mutex<HashMap<String, String>>,
    released: Mutex<Vec<String>>,
    runs: Mutex<Vec<String>>,
}

#[async_trait]
impl ResultStore<String> for Shelf {
    async fn persist(&self, value: &String) -> Result<Option<String>, Failure> {
        if value.starts_with("volatile") {
            return Ok(None);
        }
        let name = format!("result of {value}");
        self.values.lock().insert(name.clone(), value.clone());
        Ok(Some(name))
    }

    fn exists(&self, name: &str) -> bool {
        self.values.lock().contains_key(name)
    }

    async fn load(&self, name: &str, _: &OpContext<String>) -> Result<String, LoadError> {
        self.values.lock().get(name).cloned().ok_or(LoadError::Gone)
    }

    fn release(&self, name: &str) {
        self.released.lock().push(name.into());
    }
}

struct Step {
    name: String,
    inputs: usize,
    shelf: Arc<Shelf>,
}

#[async_trait]
impl Op<String> for Step {
    async fn cache_map(&self, _: &OpContext<String>, index: usize) -> OpResult<CacheMap<String>> {
        let mut map = CacheMap::new(OpDigest(Digest::of(format!("{} {index}", self.name))), self.inputs);
        map.more = self.inputs == 0 && index == 0;
        if let [first, ..] = &mut map.inputs[..] {
            first.content =
                Some(Arc::new(|_, value| Box::pin(async move { Ok(ContentDigest(Digest::of(value))) })));
            first.selector = Some(Selector(Digest::of("/src")));
        }
        Ok(map)
    }

    async fn exec(&self, _: &OpContext<String>, inputs: Vec<String>) -> OpResult<Vec<String>> {
        self.shelf.runs.lock().push(self.name.clone());
        Ok(vec![format!("{}({})", self.name, inputs.join(","))])
    }
}

fn step(shelf: &Arc<Shelf>, name: &str, inputs: &[&Edge<String>]) -> Edge<String> {
    let digests: Vec<_> = inputs.iter().map(|edge| edge.vertex.digest.to_string()).collect();
    let vertex = Vertex {
        digest: VertexDigest(Digest::of(format!("{name} {digests:?}"))),
        name: name.into(),
        inputs: inputs.iter().map(|edge| (*edge).clone()).collect(),
        ignore_cache: false,
        progress_group: None,
        op: Arc::new(Step { name: name.into(), inputs: inputs.len(), shelf: shelf.clone() }),
    };
    Edge { vertex: vertex.into(), output: 0 }
}

fn chain(shelf: &Arc<Shelf>) -> Edge<String> {
    let base = step(shelf, "base", &[]);
    let source = step(shelf, "source", &[]);
    let middle = step(shelf, "middle", &[&source, &base]);
    step(shelf, "app", &[&middle])
}

fn open_as(root: &Path, shelf: &Arc<Shelf>, boot_id: &str) -> (Metadata, Arc<DiskRecords<String>>) {
    let options = MetadataOptions { durability: Durability::Volatile, boot_id: Some(boot_id.into()) };
    let metadata = Metadata::open(root, options).unwrap();
    (metadata.clone(), Arc::new(DiskRecords::open(metadata, shelf.clone()).unwrap()))
}

fn open(root: &Path, shelf: &Arc<Shelf>) -> (Metadata, Arc<DiskRecords<String>>) {
    open_as(root, shelf, "boot")
}

/// Builds, and answers with what ran for it.
async fn build(records: &Arc<DiskRecords<String>>, shelf: &Shelf, edge: &Edge<String>) -> Vec<String> {
    shelf.runs.lock().clear();
    let solver = Solver::new(SolverOptions { store: records.clone() });
    let progress = Arc::new(Silent);
    let job = solver.job(JobOptions {
        id: "job".into(),
        sessions: vec![],
        progress,
        imports: vec![],
        parallelism: None,
    });
    job.build(edge).await.unwrap();
    job.discard().await;
    let mut ran = shelf.runs.lock().clone();
    ran.sort();
    ran
}

fn rows(metadata: &Metadata, table: &str) -> i64 {
    metadata.with(|db| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_cached_after_a_restart() {
    let (root, shelf) = (tempfile::tempdir().unwrap(), Arc::new(Shelf::default()));
    let (metadata, records) = open(root.path(), &shelf);
    assert_eq!(build(&records, &shelf, &chain(&shelf)).await, ["app", "base", "middle", "source"]);
    drop((metadata, records));
    for _ in 0..2 {
        let (_metadata, records) = open(root.path(), &shelf);
        assert!(build(&records, &shelf, &chain(&shelf)).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_build_writes_only_when_it_was_used() {
    let (root, shelf) = (tempfile::tempdir().unwrap(), Arc::new(Shelf::default()));
    let (metadata, records) = open(root.path(), &shelf);
    build(&records, &shelf, &chain(&shelf)).await;
    records.flush().unwrap();
    let changes = || metadata.with(|db| Ok(db.total_changes())).unwrap();
    let before = changes();
    build(&records, &shelf, &chain(&shelf)).await;
    assert_eq!(changes(), before);
    records.flush().unwrap();
    assert_eq!(changes(), before + 1, "one record was loaded");
    let uses = records.uses();
    assert_eq!(uses.iter().filter(|record| record.last_used > record.created).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_results_are_deleted_their_records_go_and_keys_lead_on() {
    let (root, shelf) = (tempfile::tempdir().unwrap(), Arc::new(Shelf::default()));
    let (metadata, records) = open(root.path(), &shelf);
    build(&records, &shelf, &chain(&shelf)).await;
    let app = "result of app(middle(source(),base()))";
    let names: Vec<_> = shelf.values.lock().keys().filter(|name| *name != app).cloned().collect();
    names.iter().for_each(|name| records.forget_result(name));
    assert_eq!(rows(&metadata, "cache_record"), 1);
    assert!(shelf.released.lock().is_empty(), "they are gone already");
    assert!(build(&records, &shelf, &chain(&shelf)).await.is_empty());
    records.forget_result(app);
    assert_eq!((rows(&metadata, "cache_record"), rows(&metadata, "cache_link")), (0, 0));
    assert_eq!(build(&records, &shelf, &chain(&shelf)).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_turns_out_to_be_gone_is_forgotten() {
    let (root, shelf) = (tempfile::tempdir().unwrap(), Arc::new(Shelf::default()));
    let (metadata, records) = open(root.path(), &shelf);
    build(&records, &shelf, &chain(&shelf)).await;
    let before = rows(&metadata, "cache_record");
    shelf.values.lock().retain(|_, value| !value.starts_with("app"));
    assert_eq!(build(&records, &shelf, &chain(&shelf)).await, ["app"]);
    assert_eq!(rows(&metadata, "cache_record"), before);
    assert!(build(&records, &shelf, &chain(&shelf)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_released_with_the_last_record_that_names_it() {
    let (root, shelf) = (tempfile::tempdir().unwrap(), Arc::new(Shelf::default()));
    let (_metadata, records) = open(root.path(), &shelf);
    build(&records, &shelf, &step(&shelf, "base", &[])).await;
    let keys = [0, 1].map(|n| KeyId::root(OpDigest(Digest::of(format!("base {n}"))), 0));
    let [first, second] = keys.map(|key| records.records(&key));
    records.forget(&first[0].id);
    assert!(shelf.released.lock().is_empty());
    records.forget(&second[0].id);
    assert_eq!(*shelf.released.lock(), ["result of base()"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_not() {
    let (root, shelf) = (tempfile::tempdir().unwrap(), Arc::new(Shelf::default()));
    let (metadata, records) = open(root.path(), &shelf);
    let edge = step(&shelf, "volatile", &[]);
    build(&records, &shelf, &edge).await;
    assert_eq!(rows(&metadata, "cache_record"), 0);
    assert_eq!(build(&records, &shelf, &edge).await, ["volatile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_loss_records_of_undurable_epochs_are_dropped() {
    let (root, shelf) = (tempfile::tempdir().unwrap(), Arc::new(Shelf::default()));
    let (metadata, records) = open_as(root.path(), &shelf, "before");
    build(&records, &shelf, &chain(&shelf)).await;
    drop((metadata, records));
    // Closed, but never synced: on another boot nothing can be trusted.
    let (metadata, records) = open_as(root.path(), &shelf, "after");
    assert_eq!((rows(&metadata, "cache_record"), rows(&metadata, "cache_link")), (0, 0));
    assert_eq!(build(&records, &shelf, &chain(&shelf)).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_links_of_one_key_are_read_back_and_followed() {
    let (root, shelf) = (tempfile::tempdir().unwrap(), Arc::new(Shelf::default()));
    let base = KeyId::root(OpDigest(Digest::of("base")), 0);
    let link = |n: usize| Link {
        input: 1,
        output: 2,
        operation: OpDigest(Digest::of(n.to_string())),
        selector: n.is_multiple_of(2).then(|| Selector(Digest::of("/"))),
    };
    let to = |n: usize| KeyId::root(OpDigest(Digest::of(format!("to {n}"))), 0);
    let (metadata, records) = open(root.path(), &shelf);
    for n in 0..10_000 {
        records.link(&base, &link(n), &to(n));
        let record = records.name(&to(n));
        records.save(&record, &format!("value {n}")).await;
    }
    drop((metadata, records));
    let (_metadata, records) = open(root.path(), &shelf);
    for n in 0..10_000 {
        assert_eq!(records.follow(&base, &link(n)), [to(n)]);
        assert_eq!(records.records(&to(n)).len(), 1);
    }
    assert_eq!(records.origins(&to(7)), [(base, link(7))]);
}
