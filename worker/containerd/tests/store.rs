//! A store on a containerd that others use, too: with Debian's containerd, and `ctr` for the others.
#![expect(clippy::unwrap_used, reason = "everything here is a test, its helpers too")]

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_containerd::{Client, ContainerdContent, ContainerdSnapshotter};
use slipway_model::{BlobDigest, Digest};
use slipway_store::{Backend, PrepareOptions, PruneOptions, Ref, Sharing, Store, StoreOptions};
use slipway_tests::Containerd;

const NAMESPACE: &str = "laws";

/// A containerd, and a state directory for a store on it.
struct Bench {
    root: tempfile::TempDir,
    containerd: Containerd,
}

impl Bench {
    fn new() -> Option<Self> {
        Some(Self { containerd: Containerd::start()?, root: tempfile::tempdir().unwrap() })
    }

    fn store(&self) -> Store {
        let client = Client::new(&self.containerd.address(), NAMESPACE, "slipway-laws").unwrap();
        let server = client.server().unwrap();
        let snapshotter =
            ContainerdSnapshotter::open(client.clone(), &server, "overlayfs", self.root.path()).unwrap();
        let content = ContainerdContent::open(client, &server, self.root.path());
        let backend = Backend { snapshotter: Arc::new(snapshotter), content: Arc::new(content) };
        Store::open(self.root.path(), StoreOptions { backend: Some(backend), ..StoreOptions::default() })
            .unwrap()
    }

    #[track_caller]
    fn ctr(&self, arguments: &[&str]) -> Vec<String> {
        self.containerd.ctr_lines(NAMESPACE, arguments)
    }

    fn blobs(&self) -> usize {
        self.ctr(&["content", "ls", "-q"]).len()
    }

    /// Names of snapshots, of whomever.
    fn snapshots(&self) -> Vec<String> {
        let lines = self.ctr(&["snapshots", "ls"]);
        lines.iter().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    }
}

fn of(text: &str) -> BlobDigest {
    BlobDigest(Digest::of(text))
}

fn read(store: &Store, digest: &BlobDigest) -> Option<String> {
    let mut text = String::new();
    store.blobs().open(digest).unwrap()?.read_to_string(&mut text).unwrap();
    Some(text)
}

fn make(store: &Store, parent: Option<&Ref>, name: &str) -> Ref {
    let active = store.prepare(parent, PrepareOptions::default()).unwrap();
    std::fs::write(active.upper_dir().join(name), name).unwrap();
    active.commit().unwrap()
}

fn holds(snapshot: &Ref, name: &str) -> bool {
    slipway_store::inroot::stat(snapshot.mount().unwrap().root(), std::path::Path::new(name), false).is_ok()
}

#[test]
fn what_is_written_is_content_for_all_and_goes_when_nobody_needs_it() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.store();
    let stored = store.blobs().put(b"text").unwrap();
    assert_eq!(bench.ctr(&["content", "get", &stored.digest.to_string()]), ["text"]);
    assert_eq!(read(&store, &stored.digest).as_deref(), Some("text"));
    // Twice, and once more after its row was lost.
    store.blobs().put(b"text").unwrap();
    let mut large = store.blobs().ingest(None).unwrap();
    for number in 0..300_000_u32 {
        large.write_all(&number.to_le_bytes()).unwrap();
    }
    let large = large.commit().unwrap();
    let expected: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(large.digest, BlobDigest(Digest::of(&expected)));
    let mut bytes = Vec::new();
    store.blobs().open_whole(&large.digest).unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, expected);
    let empty = store.blobs().put(b"").unwrap();
    assert_eq!(read(&store, &empty.digest).as_deref(), Some(""));
    assert_eq!(bench.blobs(), 3);

    drop(store.blobs().ingest(Some((of("other"), None))).unwrap());
    let mut wrong = store.blobs().ingest(Some((of("expected"), None))).unwrap();
    wrong.write_all(b"something else").unwrap();
    assert!(wrong.commit().is_err());
    assert_eq!(bench.ctr(&["content", "active"]).len(), 1, "a headline only");

    drop((stored, large, empty));
    store.prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert_eq!(bench.blobs(), 0);
    assert!(read(&store, &of("text")).is_none());
}

#[test]
fn what_others_put_there_is_found_and_kept() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.store();
    let theirs = bench.root.path().join("theirs");
    std::fs::write(&theirs, "their text").unwrap();
    let command = format!(
        "ctr --address {} --namespace {NAMESPACE} content ingest theirs < {}",
        bench.containerd.address(),
        theirs.display()
    );
    let ingested = std::process::Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(ingested.success());
    let digest = of("their text");
    assert_eq!(store.blobs().size(&digest).unwrap(), None);
    assert_eq!(read(&store, &digest).as_deref(), Some("their text"));
    assert_eq!(store.blobs().size(&digest).unwrap(), Some(10));
    // Removed by them, it is none of ours either, and can be had again.
    bench.ctr(&["content", "rm", &digest.to_string()]);
    assert!(read(&store, &digest).is_none());
    store.blobs().put(b"their text").unwrap();
    assert_eq!(read(&store, &digest).as_deref(), Some("their text"));
}

#[test]
fn a_snapshot_that_others_remove_is_forgotten_with_all_on_it() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.store();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (below, middle, top) = {
        let below = make(&store, None, "below");
        let middle = make(&store, Some(&below), "middle");
        let top = make(&store, Some(&middle), "top");
        assert!(holds(&top, "below") && holds(&top, "top"));
        (below.id(), middle.id(), top.id())
    };
    let copy = told.clone();
    store.on_removed(move |removed| copy.lock().extend_from_slice(removed));
    assert_eq!(bench.snapshots().len(), 3);
    for name in [format!("slipway-{top}"), format!("slipway-{middle}")] {
        bench.ctr(&["snapshots", "rm", &name]);
    }
    assert!(store.get(&middle).unwrap().is_none());
    assert!(store.get(&top).unwrap().is_none());
    let mut told = told.lock().clone();
    told.sort();
    let mut expected = vec![middle, top];
    expected.sort();
    assert_eq!(told, expected);
    let below = store.get(&below).unwrap().unwrap();
    assert!(holds(&make(&store, Some(&below), "again"), "below"));
}

#[test]
fn a_parent_that_goes_while_it_is_used_is_an_error_that_names_it() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.store();
    let below = make(&store, None, "below");
    bench.ctr(&["snapshots", "rm", &format!("slipway-{}", below.id())]);
    let error = store.prepare(Some(&below), PrepareOptions::default()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(&below.id().to_string()), "{error}: {source}");
}

#[test]
fn a_store_is_found_again_without_what_others_took_meanwhile() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.store();
    let (kept, gone) = (make(&store, None, "kept").id(), make(&store, None, "gone").id());
    let cache = futures(store.cache_mount("pool", Sharing::Locked, None)).unwrap();
    std::fs::write(cache.directory().join("cached"), "").unwrap();
    drop(cache);
    let blob = store.blobs().put(b"blob").unwrap().digest;
    store.flush().unwrap();
    drop(store);
    bench.ctr(&["snapshots", "rm", &format!("slipway-{gone}")]);
    let store = bench.store();
    assert!(holds(&store.get(&kept).unwrap().unwrap(), "kept"));
    assert!(!store.exists(&gone).unwrap());
    assert_eq!(read(&store, &blob).as_deref(), Some("blob"));
    let cache = futures(store.cache_mount("pool", Sharing::Locked, None)).unwrap();
    assert!(cache.directory().join("cached").exists() && !cache.is_new());
    let id = cache.id();
    drop(cache);
    bench.ctr(&["snapshots", "rm", &format!("slipway-{id}-active")]);
    let cache = futures(store.cache_mount("pool", Sharing::Locked, None)).unwrap();
    assert!(cache.is_new() && cache.directory().is_dir());
}

#[test]
fn without_the_lease_all_is_lost_and_made_again() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.store();
    let id = make(&store, None, "file").id();
    store.blobs().put(b"blob").unwrap();
    bench.ctr(&["leases", "rm", "--sync", "slipway-laws"]);
    assert!(bench.snapshots().is_empty());
    assert!(store.get(&id).unwrap().is_none());
    assert!(read(&store, &of("blob")).is_none());
    let again = make(&store, None, "file");
    assert!(holds(&again, "file"));
    store.blobs().put(b"blob").unwrap();
    // Both are kept by a lease: a collection does not take them.
    bench.ctr(&["leases", "create", "--id", "other"]);
    bench.ctr(&["leases", "rm", "--sync", "other"]);
    assert!(holds(&again, "file"));
    assert_eq!(read(&store, &of("blob")).as_deref(), Some("blob"));
}

#[test]
fn pruned_snapshots_go_and_unfinished_ones_too() {
    let Some(bench) = Bench::new() else { return };
    let store = bench.store();
    let below = make(&store, None, "below");
    drop(store.prepare(Some(&below), PrepareOptions::default()).unwrap());
    drop(below);
    let removed = store.prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(bench.snapshots(), [""; 0]);
}

#[test]
fn a_containerd_that_was_restarted_is_used_again() {
    let Some(mut bench) = Bench::new() else { return };
    let store = bench.store();
    let below = make(&store, None, "below");
    bench.containerd.kill();
    let error = store.prepare(Some(&below), PrepareOptions::default()).unwrap_err();
    assert!(error.to_string().contains("prepare snapshot"), "{error}");
    assert!(store.blobs().put(b"blob").is_err());
    bench.containerd.start_again();
    assert!(holds(&make(&store, Some(&below), "top"), "below"));
    store.blobs().put(b"blob").unwrap();
}

/// Waits on a runtime of its own.
fn futures<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
