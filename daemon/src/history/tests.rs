//! Records from their beginning to their end, and what becomes of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message as _;
use slipway_model::{BlobDigest, Descriptor};
use slipway_proto::control::{
    BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest, StatusResponse,
    Vertex, VertexLog,
};
use slipway_proto::rpc;
use slipway_store::{SnapshotterChoice, Store, StoreOptions};

use super::error::Error;
use super::listen::Listener;
use super::*;

const FOREVER: Limits = Limits { age: Duration::from_secs(1 << 30), entries: 1000 };

struct World {
    history: History,
    store: Store,
    _root: tempfile::TempDir,
}

fn world(limits: Limits) -> World {
    let root = tempfile::tempdir().unwrap();
    let options = StoreOptions { snapshotter: SnapshotterChoice::Native, ..StoreOptions::default() };
    let store = Store::open(root.path(), options).unwrap();
    World { history: History::open(&store, limits).unwrap(), store, _root: root }
}

impl World {
    fn begin(&self, name: &str) -> (Recording, Arc<Spool>) {
        let started = Started {
            name: name.into(),
            frontend: "dockerfile.v0".into(),
            options: [("build-arg:TOKEN".to_owned(), "abc".to_owned())].into(),
            exporters: Vec::new(),
            cache_imports: Vec::new(),
            cache_exports: Vec::new(),
        };
        let spool = Arc::new(self.history.spool(name));
        (self.history.begin(started, spool.clone()).unwrap(), spool)
    }

    fn build(&self, name: &str) {
        self.begin(name).0.complete(built());
    }

    fn listen(&self, request: BuildHistoryRequest) -> Listener {
        self.history.listen(&request).unwrap()
    }

    async fn records(&self) -> Vec<BuildHistoryRecord> {
        let listener = self.listen(BuildHistoryRequest { early_exit: true, ..Default::default() });
        all(listener).await.into_iter().filter_map(|event| event.record).collect()
    }

    async fn names(&self) -> Vec<String> {
        self.records().await.into_iter().map(|record| record.r#ref).collect()
    }

    /// What a kill and a new start make of it.
    fn start_again(&self) -> History {
        History::open(&self.store, FOREVER).unwrap()
    }

    fn files(&self) -> usize {
        let folder = self.store.root().join("history");
        ["sha256", "spool"].iter().map(|name| std::fs::read_dir(folder.join(name)).unwrap().count()).sum()
    }
}

fn built() -> Outcome {
    Outcome::Built { response: BTreeMap::new(), exported: BTreeMap::new(), attestations: Vec::new() }
}

async fn all(mut listener: Listener) -> Vec<BuildHistoryEvent> {
    let mut events = Vec::new();
    while let Some(event) = listener.next().await {
        events.push(event.unwrap());
    }
    events
}

async fn said(history: &History, name: &str) -> Vec<StatusResponse> {
    let mut log = history.log(name).unwrap().unwrap();
    let mut said = Vec::new();
    while let Some(news) = log.read().await {
        said.push(news.unwrap());
    }
    said
}

fn vertex(digit: char, completed: bool) -> StatusResponse {
    let at = Some(SystemTime::UNIX_EPOCH.into());
    let vertex = Vertex {
        digest: format!("sha256:{}", digit.to_string().repeat(64)),
        started: at,
        completed: at.filter(|_| completed),
        cached: digit == 'c',
        ..Vertex::default()
    };
    StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() }
}

fn log(text: &str) -> StatusResponse {
    let log = VertexLog { msg: text.to_owned().into(), ..VertexLog::default() };
    StatusResponse { logs: vec![log], ..StatusResponse::default() }
}

#[tokio::test]
async fn a_build_is_recorded_with_all_it_said() {
    let world = world(FOREVER);
    let (recording, spool) = world.begin("one");
    let running = world.records().await.remove(0);
    assert!(running.completed_at.is_none() && running.created_at.is_some());
    assert_eq!(running.frontend_attrs["build-arg:TOKEN"], "xxxxx");
    assert!(world.history.log("one").unwrap().is_none(), "it still runs");
    assert!(matches!(world.history.delete("one"), Err(Error::Running(_))));
    for news in [vertex('a', false), log("hello"), vertex('a', true), vertex('c', true), vertex('d', false)] {
        spool.push(&news);
    }
    assert_eq!(world.records().await[0].num_total_steps, 3, "counted while it runs");
    recording.complete(built());
    let record = world.records().await.remove(0);
    assert!(record.completed_at.is_some() && record.error.is_none());
    assert_eq!((record.num_total_steps, record.num_completed_steps, record.num_cached_steps), (3, 2, 1));
    let logs = record.logs.unwrap();
    assert_eq!(logs.media_type, "application/vnd.buildkit.status.v0");
    let info = world.history.content_info(&logs.digest).unwrap();
    assert_eq!(i64::try_from(info.size).unwrap(), logs.size);
    let said = said(&world.history, "one").await;
    assert_eq!(said.iter().map(|news| news.vertexes.len()).sum::<usize>(), 4);
    assert_eq!(said[0].logs[0].msg, "hello");
    assert!(matches!(world.history.pin("two", true), Err(Error::Unknown(_))));
    assert!(matches!(world.history.content_info("../lock"), Err(Error::NoContent(_))));
    world.history.delete("one").unwrap();
    assert!(world.names().await.is_empty() && world.files() == 0);
}

#[tokio::test]
async fn an_error_keeps_its_details_apart() {
    let world = world(FOREVER);
    let detail = prost_types::Any { type_url: "x".into(), value: vec![1, 2, 3] };
    let status = rpc::Status {
        code: tonic::Code::Cancelled.into(),
        message: "enough".into(),
        details: vec![detail.clone()],
    };
    world.begin("one").0.complete(Outcome::Failed(status));
    let record = world.records().await.remove(0);
    let error = record.error.unwrap();
    assert_eq!(error.message, "context canceled: enough");
    assert!(error.details.is_empty());
    let file = world.history.open_content(&record.external_error.unwrap().digest).unwrap();
    let bytes = std::io::read_to_string(file).unwrap();
    assert_eq!(rpc::Status::decode(bytes.as_bytes()).unwrap().details, [detail]);
}

#[tokio::test]
async fn what_a_kill_cut_off_is_recorded_as_failed() {
    let world = world(FOREVER);
    let (recording, spool) = world.begin("one");
    for news in [vertex('a', true), vertex('b', false), log("before the end")] {
        spool.push(&news);
    }
    let mut bytes = std::fs::read(spool.path()).unwrap();
    bytes.extend([200, 0, 0, 0, 10, 200]);
    std::fs::write(spool.path(), &bytes).unwrap();
    let (silent, _) = world.begin("silent");
    std::fs::write(world.store.root().join("history/spool/stray"), "x").unwrap();
    let history = world.start_again();
    let listener = history.listen(&BuildHistoryRequest { early_exit: true, ..Default::default() }).unwrap();
    let records: Vec<_> = all(listener).await.into_iter().filter_map(|event| event.record).collect();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record.error.as_ref().unwrap().message.starts_with("interrupted")));
    assert_eq!((records[0].num_total_steps, records[0].num_completed_steps), (2, 2));
    let said = said(&history, "one").await;
    let last = &said.last().unwrap().vertexes[0];
    assert!(last.digest.ends_with('b') && last.error.starts_with("interrupted"), "{said:?}");
    assert!(said.iter().any(|news| news.logs.iter().any(|log| log.msg == "before the end")));
    assert!(history.log("silent").unwrap().unwrap().read().await.is_none());
    assert!(!world.store.root().join("history/spool/stray").exists());
    std::mem::forget((recording, silent, spool));
}

#[tokio::test]
async fn limits_take_the_oldest_that_are_not_pinned() {
    let world = world(Limits { age: Duration::ZERO, entries: 2 });
    world.build("pinned");
    world.history.pin("pinned", true).unwrap();
    for name in ["a", "b", "c", "d"] {
        world.build(name);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.names().await, ["pinned", "c", "d"]);
    let pinned = world.records().await.remove(0);
    assert!(pinned.pinned && pinned.generation == 1);
    let patient = self::world(Limits { entries: 0, ..FOREVER });
    patient.build("young");
    assert_eq!(patient.names().await, ["young"], "too many, but not too old");
}

#[tokio::test]
async fn a_listener_hears_everything_once() {
    let world = world(FOREVER);
    world.build("ended");
    let (running, _) = world.begin("running");
    let mut everything = world.listen(BuildHistoryRequest::default());
    let mut one = world.listen(BuildHistoryRequest { r#ref: "running".into(), ..Default::default() });
    let active =
        world.listen(BuildHistoryRequest { active_only: true, early_exit: true, ..Default::default() });
    assert_eq!(all(active).await.len(), 1);
    running.complete(built());
    world.history.pin("ended", true).unwrap();
    world.history.delete("ended").unwrap();
    use BuildHistoryEventType::{Complete, Deleted, Started as Begun};
    let expected = [
        (Begun, "running"),
        (Complete, "ended"),
        (Complete, "running"),
        (Complete, "ended"),
        (Deleted, "ended"),
    ];
    for (kind, name) in expected {
        let event = everything.next().await.unwrap().unwrap();
        assert_eq!((event.r#type(), event.record.unwrap().r#ref.as_str()), (kind, name));
    }
    for kind in [Begun, Complete] {
        assert_eq!(one.next().await.unwrap().unwrap().r#type(), kind);
    }
}

#[tokio::test]
async fn a_record_that_is_listened_to_goes_with_its_listener() {
    let world = world(FOREVER);
    world.build("one");
    let request = BuildHistoryRequest { r#ref: "one".into(), ..Default::default() };
    let listener = world.listen(request.clone());
    world.history.delete("one").unwrap();
    assert!(world.names().await.is_empty());
    assert!(matches!(world.history.listen(&request), Err(Error::Deleted(_))));
    assert!(world.files() > 0);
    drop(listener);
    assert_eq!(world.files(), 0);
    assert!(world.history.listen(&request).is_ok());
}

#[tokio::test]
async fn limits_and_filters_of_a_listener() {
    let world = world(FOREVER);
    for name in ["a1", "a2", "b1"] {
        world.build(name);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let ask = |limit, filter: &str| {
        let filter = if filter.is_empty() { Vec::new() } else { vec![filter.to_owned()] };
        world.history.listen(&BuildHistoryRequest { early_exit: true, limit, filter, ..Default::default() })
    };
    let names = async |listener| {
        let events = all(listener).await.into_iter();
        events.map(|event| event.record.unwrap().r#ref).collect::<Vec<_>>()
    };
    assert_eq!(names(ask(2, "").unwrap()).await, ["b1", "a2"]);
    assert_eq!(names(ask(1, "ref~=^a").unwrap()).await, ["a2"]);
    assert!(ask(-1, "").is_err() && ask(0, "ref+x").is_err());
}

#[tokio::test]
async fn a_result_is_kept_without_its_layers() {
    let world = world(FOREVER);
    let blobs = world.store.blobs();
    let put = |bytes: &[u8]| blobs.put(bytes).unwrap();
    let (config, layer) = (put(b"{}"), put(b"layer"));
    let describe = |media_type: &str, digest: BlobDigest, size| Descriptor::new(media_type, digest, size);
    let manifest = serde_json::json!({
        "config": describe("application/vnd.oci.image.config.v1+json", config.digest, config.size),
        "layers": [describe("application/vnd.oci.image.layer.v1.tar", layer.digest, layer.size)],
    });
    let manifest = put(manifest.to_string().as_bytes());
    let image = describe("application/vnd.oci.image.manifest.v1+json", manifest.digest, manifest.size);
    for name in ["one", "two"] {
        let exported = [(3, image.clone())].into();
        world.begin(name).0.complete(Outcome::Built {
            response: BTreeMap::new(),
            exported,
            attestations: Vec::new(),
        });
    }
    let result = world.records().await.remove(0).result.unwrap();
    assert_eq!(result.results[&3].digest, manifest.digest.to_string());
    world.history.delete("one").unwrap();
    for digest in [manifest.digest, config.digest, layer.digest] {
        assert!(world.history.content_info(&digest.to_string()).is_ok(), "the other record names it");
        blobs.remove(&digest).unwrap();
    }
    assert!(world.history.open_content(&config.digest.to_string()).is_ok());
    assert!(world.history.open_content(&layer.digest.to_string()).is_err(), "it was in the cache only");
    assert_eq!(world.history.all_content().unwrap().len(), 3, "manifest, config, log");
    world.history.delete("two").unwrap();
    assert!(world.history.open_content(&manifest.digest.to_string()).is_err());
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn a_full_disk_costs_output_but_no_news_of_steps() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let spool = Spool::new(missing.join("spool"));
    spool.push(&vertex('a', false));
    spool.push(&log("lost"));
    (0..100).for_each(|_| spool.push(&log(&"x".repeat(100_000))));
    spool.push(&vertex('a', true));
    assert!(spool.length() < 1 << 20, "{} bytes in memory", spool.length());
    std::fs::create_dir(&missing).unwrap();
    spool.push(&log("there is room again"));
    spool.close();
    let (mut position, mut vertices, mut logs) = (0, 0, Vec::new());
    while let Some(news) = spool.read(&mut position).await {
        let news = news.unwrap();
        vertices += news.vertexes.len();
        logs.extend(news.logs.into_iter().map(|log| log.msg));
    }
    assert_eq!(vertices, 2);
    assert_eq!(logs.last().unwrap(), "there is room again");
}
