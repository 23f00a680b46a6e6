//! Images from the fake registry into a store of their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use slipway_fakes::registry::PushedImage;
use slipway_fakes::{FakeRegistry, Fault, FaultKind, Options};
use slipway_model::{BlobDigest, Platform};
use slipway_registry::{Anonymous, Client, ClientOptions, RetryOptions};
use slipway_store::{Durability, RecordType, Ref, Store, StoreOptions, inroot};

use super::*;

mod attestations;

type Files<'a> = &'a [(&'a str, &'a [u8])];

struct Bench {
    registry: FakeRegistry,
    client: Client,
    source: ImageSource,
    root: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let registry = FakeRegistry::start(Options::default()).await.unwrap();
        let root = tempfile::tempdir().unwrap();
        let options = StoreOptions { durability: Durability::Volatile, ..StoreOptions::default() };
        let source = ImageSource::new(Store::open(root.path(), options).unwrap()).unwrap();
        let retry = RetryOptions {
            attempts: 2,
            first_delay: Duration::from_millis(1),
            // A transfer that should have been stopped must not end by itself.
            silence: Duration::from_secs(3600),
            ..RetryOptions::default()
        };
        let client = Client::new(ClientOptions { retry, ..ClientOptions::new(Arc::new(Anonymous)) });
        Self { registry, client, source, root }
    }

    fn put(&self, repository: &str, tag: &str, layers: &[Files<'_>]) -> PushedImage {
        self.registry.put_image(repository, tag, &linux(), layers).unwrap()
    }

    fn origin(&self, rest: &str) -> Arc<dyn Origin> {
        let reference = format!("{}/{rest}", self.registry.host()).parse().unwrap();
        Arc::new(RegistryOrigin { client: self.client.clone(), reference })
    }

    async fn pin(&self, rest: &str, mode: ResolveMode) -> Result<Pinned, Error> {
        let request = ImageRequest { resolve_mode: mode, ..ImageRequest::new(linux()) };
        self.source.pin(&*self.origin(rest), &request).await
    }

    async fn fetch(&self, rest: &str, pinned: &Pinned) -> Result<Ref, Error> {
        let fetched =
            self.source.fetch(self.origin(rest), pinned, RecordType::Regular, Arc::new(Silent)).await?;
        Ok(fetched.expect("the image has layers"))
    }

    /// What the registry was asked since the last time: method and last part of the path.
    fn asked(&self) -> Vec<String> {
        let log = self.registry.log();
        self.registry.clear_log();
        log.iter()
            .map(|l| format!("{} {}", l.method, l.path.rsplit('/').next().unwrap_or_default()))
            .collect()
    }

    fn blob_file(&self, digest: &slipway_model::Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.path().join("blobs/sha256").join(&hex[..2]).join(hex)
    }
}

fn linux() -> Platform {
    Platform::new("linux", "amd64", "")
}

fn read(snapshot: &Ref, path: &str) -> Option<Vec<u8>> {
    let mounted = snapshot.mount().unwrap();
    inroot::read_to_limit(mounted.root(), Path::new(path), 1 << 20).ok()
}

const BASE: Files<'static> = &[("etc/base", b"base"), ("gone", b"gone")];
const TOP: Files<'static> = &[("etc/top", b"top"), (".wh.gone", b"")];

#[tokio::test]
async fn layers_add_up_to_a_tree() {
    let bench = Bench::new().await;
    let image = bench.put("app", "v1", &[BASE, TOP, &[("more", b"more")]]);
    let pinned = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    assert_eq!(pinned.root.digest.0, image.manifest);
    let snapshot = bench.fetch("app:v1", &pinned).await.unwrap();
    for (path, content) in [("etc/base", "base"), ("etc/top", "top"), ("more", "more")] {
        assert_eq!(read(&snapshot, path).as_deref(), Some(content.as_bytes()), "{path}");
    }
    assert_eq!(read(&snapshot, "gone"), None);
    assert_eq!(snapshot.depth(), 3);
    assert_eq!(snapshot.description(), format!("pulled from {}/app:v1", bench.registry.host()));
}

#[tokio::test]
async fn a_warm_rebuild_asks_once_or_not_at_all() {
    let bench = Bench::new().await;
    let image = bench.put("app", "v1", &[BASE, TOP]);
    let pinned = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    assert_eq!(bench.asked().len(), 3);
    let cold = bench.fetch("app:v1", &pinned).await.unwrap();
    assert_eq!(bench.asked().len(), 2);

    for mode in [ResolveMode::Default, ResolveMode::Pull] {
        let again = bench.pin("app:v1", mode).await.unwrap();
        assert_eq!(again.keys(), pinned.keys());
        assert_eq!(bench.fetch("app:v1", &again).await.unwrap(), cold);
        assert_eq!(bench.asked(), ["HEAD v1"]);
    }
    bench.pin("app:v1", ResolveMode::Local).await.unwrap();
    bench.pin(&format!("app@{}", image.manifest), ResolveMode::Pull).await.unwrap();
    assert_eq!(bench.asked(), [""; 0]);

    // A tag that moved is noticed by those who ask.
    let moved = bench.put("app", "v1", &[BASE]);
    let local = bench.pin("app:v1", ResolveMode::Local).await.unwrap();
    let asked = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    assert_eq!((local.root.digest.0, asked.root.digest.0), (image.manifest, moved.manifest));
}

/// The digest of a private image is no right to it.
#[tokio::test]
async fn a_digest_is_believed_only_of_the_repository_it_came_from() {
    let bench = Bench::new().await;
    let image = bench.put("private", "v1", &[BASE]);
    bench.pin("private:v1", ResolveMode::Default).await.unwrap();
    let error = bench.pin(&format!("other@{}", image.manifest), ResolveMode::Local).await.unwrap_err();
    assert!(matches!(&error, Error::Registry(error) if error.is_not_found()), "{error}");
}

#[tokio::test]
async fn a_registry_out_of_reach_is_no_end_to_what_is_known() {
    let bench = Bench::new().await;
    bench.put("app", "v1", &[BASE]);
    bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    bench.registry.fail(Fault::status("HEAD", "/manifests/", 100, 503));
    bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    assert!(bench.pin("app:v1", ResolveMode::Pull).await.is_err());
    assert!(bench.pin("app:v2", ResolveMode::Default).await.is_err());
}

#[tokio::test]
async fn layers_that_are_here_are_not_pulled_again() {
    let bench = Bench::new().await;
    bench.put("base", "v1", &[BASE]);
    let app = bench.put("app", "v1", &[BASE, TOP]);
    let base = bench.pin("base:v1", ResolveMode::Default).await.unwrap();
    let base = bench.fetch("base:v1", &base).await.unwrap();
    let pinned = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    bench.asked();
    let told = Arc::new(Told::default());
    let fetched = bench
        .source
        .fetch(bench.origin("app:v1"), &pinned, RecordType::Regular, told.clone())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fetched.parent(), Some(&base));
    assert_eq!(bench.asked(), [format!("GET {}", app.layers[1])]);
    let states = told.states.lock();
    assert_eq!(states[&BlobDigest(app.layers[0])], [LayerState::Exists]);
    assert_eq!(states[&BlobDigest(app.layers[1])].first(), Some(&LayerState::Pulling));
    assert_eq!(states[&BlobDigest(app.layers[1])].last(), Some(&LayerState::Done));
}

#[derive(Default)]
struct Told {
    states: Mutex<HashMap<BlobDigest, Vec<LayerState>>>,
}

impl LayerProgress for Told {
    fn layer(&self, layer: &BlobDigest, state: LayerState, current: u64, total: u64) {
        assert!(current <= total);
        self.states.lock().entry(*layer).or_default().push(state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_want_one_image_pull_it_once() {
    let bench = Bench::new().await;
    bench.put("app", "v1", &[BASE, TOP]);
    let pinned = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    bench.asked();
    let all = futures::future::join_all((0..6).map(|_| bench.fetch("app:v1", &pinned))).await;
    let first = all[0].as_ref().unwrap();
    assert!(all.iter().all(|one| one.as_ref().is_ok_and(|one| one == first)));
    assert_eq!(bench.asked().len(), 2);
}

#[tokio::test]
async fn wrong_bytes_leave_nothing_and_may_be_right_next_time() {
    let bench = Bench::new().await;
    bench.put("app", "v1", &[BASE, TOP]);
    let pinned = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    bench.registry.fail(Fault::new("GET", "/blobs/", 1, FaultKind::Corrupt));
    let error = bench.fetch("app:v1", &pinned).await.unwrap_err();
    assert!(matches!(error, Error::Layer { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(bench.root.path().join("ingest")).unwrap().count(), 0);
    let snapshot = bench.fetch("app:v1", &pinned).await.unwrap();
    assert_eq!(read(&snapshot, "etc/top").as_deref(), Some(&b"top"[..]));
}

#[tokio::test]
async fn damaged_blobs_of_ours_are_pulled_again() {
    let bench = Bench::new().await;
    let image = bench.put("app", "v1", &[BASE]);
    let pinned = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    for digest in [image.config, image.layers[0]] {
        let mut bytes = bench.registry.blob("app", &digest).unwrap().to_vec();
        bench.source.store.blobs().put(&bytes).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(bench.blob_file(&digest), bytes).unwrap();
    }
    bench.asked();
    let again = bench.pin("app:v1", ResolveMode::Local).await.unwrap();
    assert_eq!(again.config, pinned.config);
    bench.fetch("app:v1", &again).await.unwrap();
    assert_eq!(bench.asked(), [format!("GET {}", image.config), format!("GET {}", image.layers[0])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_dropped_ends() {
    let bench = Bench::new().await;
    let image = bench.put("app", "v1", &[BASE]);
    let pinned = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    let slow = FaultKind::Slow { piece: 10, pause: Duration::from_secs(600) };
    bench.registry.fail(Fault::new("GET", "/blobs/", 1, slow));
    let told = Arc::new(Silent);
    let fetch = bench.source.fetch(bench.origin("app:v1"), &pinned, RecordType::Regular, told);
    let asked = async {
        while bench.registry.count("GET", &image.layers[0].to_string()) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = fetch => panic!("the transfer takes ten minutes"),
        () = asked => {}
    }
    // Its thread lets go of the blob: nothing is left half written, long before the ten minutes are over.
    while std::fs::read_dir(bench.root.path().join("ingest")).unwrap().count() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bench.fetch("app:v1", &pinned).await.unwrap();
}

#[tokio::test]
async fn wishes_that_cannot_be_met_are_told() {
    let bench = Bench::new().await;
    let image = bench.put("app", "v1", &[BASE, TOP]);
    bench.registry.put_index("app", "index", &[(linux(), &image)]).unwrap();
    let pin = async |tag: &str, change: &dyn Fn(&mut ImageRequest)| {
        let mut request = ImageRequest::new(linux());
        change(&mut request);
        bench.source.pin(&*bench.origin(&format!("app:{tag}")), &request).await
    };
    let other = BlobDigest(slipway_model::Digest::of("other"));
    let error = pin("v1", &|r| r.checksum = Some(other)).await.unwrap_err().to_string();
    assert!(error.contains(&format!("does not match expected checksum {other}")), "{error}");
    let error = pin("v1", &|r| r.layer_limit = Some(3)).await.unwrap_err().to_string();
    assert_eq!(error, "layer limit 3 is greater than the number of layers in the image 2");
    let error =
        pin("index", &|r| r.platform = Platform::new("linux", "s390x", "")).await.unwrap_err().to_string();
    assert!(error.contains("linux/s390x") && error.ends_with("there is linux/amd64"), "{error}");

    let limited = pin("v1", &|r| r.layer_limit = Some(1)).await.unwrap();
    let whole = pin("v1", &|_| ()).await.unwrap();
    assert_ne!(limited.keys(), whole.keys());
    assert_eq!(bench.fetch("app:v1", &limited).await.unwrap().depth(), 1);
    let indexed = pin("index", &|_| ()).await.unwrap();
    assert_eq!(indexed.manifest_descriptor.digest, whole.root.digest);
    assert_eq!(indexed.keys().last(), whole.keys().last());
    assert_ne!(indexed.keys()[0], whole.keys()[0]);
}

#[tokio::test]
async fn an_image_without_layers_is_no_snapshot() {
    let bench = Bench::new().await;
    bench.put("app", "v1", &[]);
    let pinned = bench.pin("app:v1", ResolveMode::Default).await.unwrap();
    assert_eq!(pinned.keys().len(), 1);
    let fetched =
        bench.source.fetch(bench.origin("app:v1"), &pinned, RecordType::Regular, Arc::new(Silent)).await;
    assert_eq!(fetched.unwrap(), None);
}

#[test]
fn resolve_modes_have_the_names_of_the_attribute() {
    assert_eq!("".parse::<ResolveMode>().unwrap(), ResolveMode::Default);
    assert_eq!("local".parse::<ResolveMode>().unwrap(), ResolveMode::Local);
    assert_eq!("x".parse::<ResolveMode>().unwrap_err().to_string(), "invalid resolvemode: x");
}

/// Knows everything and answers nothing about names.
struct Mute(Arc<dyn Origin>);

#[async_trait::async_trait]
impl Origin for Mute {
    fn name(&self) -> String {
        self.0.name()
    }

    fn repository(&self) -> Option<String> {
        self.0.repository()
    }

    fn digest(&self) -> Option<BlobDigest> {
        self.0.digest()
    }

    async fn resolve(&self) -> Result<slipway_model::Descriptor, Error> {
        std::future::pending().await
    }

    async fn read(&self, descriptor: &slipway_model::Descriptor) -> Result<bytes::Bytes, Error> {
        self.0.read(descriptor).await
    }

    async fn open(&self, descriptor: &slipway_model::Descriptor) -> Result<Reader, Error> {
        self.0.open(descriptor).await
    }
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_for_long() {
    let bench = Bench::new().await;
    bench.put("base", "1", &[&[("a", b"one")]]);
    let first = bench.pin("base:1", ResolveMode::Default).await.unwrap();
    assert_eq!(first.remembered, None);
    let mute = Mute(bench.origin("base:1"));
    // What is left to wait for is the clock.
    tokio::time::pause();
    let pinned = bench.source.pin(&mute, &ImageRequest::new(linux())).await.unwrap();
    assert_eq!(pinned.root, first.root);
    let warning = pinned.remembered.unwrap();
    assert!(warning.contains("no answer within 10 seconds") && warning.contains("base:1"), "{warning}");
    let insisting = ImageRequest { resolve_mode: ResolveMode::Pull, ..ImageRequest::new(linux()) };
    let waited = tokio::time::timeout(Duration::from_secs(3600), bench.source.pin(&mute, &insisting)).await;
    assert!(waited.is_err(), "who has to answer is waited for");
}
