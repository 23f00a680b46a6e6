use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use slipway_model::DiffId;

use std::time::SystemTime;

use super::*;
use crate::refs::{LayerBlob, PrepareOptions, Ref, Sharing};
use crate::store::{Clock, StoreOptions};
use crate::{Active, Durability, SnapshotterChoice};

/// A store whose time stands still until moved.
struct Fixture {
    store: Store,
    seconds: Arc<AtomicU64>,
    root: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let seconds = Arc::new(AtomicU64::new(1_000_000));
        let time = seconds.clone();
        let clock =
            Clock::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(time.load(Ordering::Relaxed)));
        let options = StoreOptions {
            snapshotter: SnapshotterChoice::Auto,
            durability: Durability::Pretended,
            boot_id: Some("boot".into()),
            clock,
            ..StoreOptions::default()
        };
        Self { store: Store::open(root.path(), options).unwrap(), seconds, root }
    }

    fn wait(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn active(&self, parent: Option<&Ref>, name: &str, kind: RecordType) -> Active {
        let options = PrepareOptions { description: name.into(), record_type: kind };
        let active = self.store.prepare(parent, options).unwrap();
        std::fs::write(active.upper_dir().join(name), vec![7; 100_000]).unwrap();
        active
    }

    fn made(&self, parent: Option<&Ref>, name: &str) -> Ref {
        self.active(parent, name, RecordType::Regular).commit().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let records = self.store.usage(&[]).unwrap();
        let mut names: Vec<_> = records.into_iter().map(|record| record.description).collect();
        names.sort();
        names
    }

    fn prune(&self, options: PruneOptions) -> Vec<String> {
        let removed = self.store.prune(&options).unwrap();
        removed.into_iter().map(|record| record.description).collect()
    }

    fn all() -> PruneOptions {
        PruneOptions { all: true, ..PruneOptions::default() }
    }
}

fn du(path: &Path) -> u64 {
    let output = std::process::Command::new("du").args(["-s", "-B1"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn usage_is_what_du_says() {
    let fixture = Fixture::new();
    let lower = fixture.made(None, "lower");
    let upper = fixture.made(Some(&lower), "upper");
    let running = fixture.active(Some(&upper), "running", RecordType::Regular);
    fixture.store.blobs().put(&[1; 50_000]).unwrap();
    let named = fixture.store.blobs().put(&[2; 60_000]).unwrap();
    let blob = LayerBlob {
        digest: named.digest,
        media_type: "x".into(),
        size: named.size,
        annotations: Default::default(),
        urls: Vec::new(),
    };
    for snapshot in [&lower, &upper] {
        snapshot.add_layer_blob(&blob).unwrap();
    }
    let records = fixture.store.usage(&[]).unwrap();
    assert_eq!(records.len(), 4);
    let total: u64 = records.iter().map(|record| record.size).sum();
    let own = |path: &str| std::fs::read_dir(fixture.root.path().join(path)).unwrap();
    let blobs: u64 = own("blobs/sha256").map(|entry| du(&entry.unwrap().path()) - 4096).sum();
    let snapshotter = format!("snapshots/{}", fixture.store.snapshotter());
    let snapshots: u64 = own(&snapshotter).map(|entry| du(&entry.unwrap().path())).sum();
    assert_eq!(total, blobs + snapshots);

    let find = |name: &str| records.iter().find(|record| record.description == name).unwrap();
    assert_eq!(find("upper").parents, [lower.id()]);
    assert!(find("running").mutable && find("running").in_use && find("lower").in_use);
    assert!(!find("upper").mutable);
    drop(running);
    let only_upper = fixture.store.usage(&["description==upper".into()]).unwrap();
    assert_eq!(only_upper.len(), 1);
}

#[test]
fn files_linked_into_other_snapshots_count_once() {
    let fixture = Fixture::new();
    let first = fixture.made(None, "first");
    let alone = first.usage().unwrap();
    let linked = |from: &Ref, name: &str| {
        let mut active = fixture.active(None, name, RecordType::Regular);
        active.shares_files_with(from, None).unwrap();
        std::fs::hard_link(from.upper_dir().join("first"), active.upper_dir().join("first")).unwrap();
        active.commit().unwrap()
    };
    let second = linked(&first, "second");
    let third = linked(&second, "third");
    let total = || fixture.store.usage(&[]).unwrap().iter().map(|record| record.size).sum::<u64>();
    let disk = || {
        let path = fixture.root.path().join("snapshots").join(fixture.store.snapshotter());
        du(&path) - 4096
    };
    assert!(total().abs_diff(disk()) < 4, "{} {}", total(), disk());
    drop((first, second));
    fixture.prune(Fixture::all());
    assert_eq!(fixture.names(), ["third"]);
    assert_eq!(total(), disk());
    assert!(third.usage().unwrap() > alone);
}

#[test]
fn pruning_spares_what_is_used_and_what_others_stand_on() {
    let fixture = Fixture::new();
    let base = fixture.made(None, "base");
    let used = fixture.made(Some(&base), "used");
    drop(fixture.made(Some(&base), "unused"));
    let parent = fixture.made(Some(&used), "parent of a running one");
    let running = fixture.active(Some(&parent), "running", RecordType::Regular);
    drop((base, parent));
    assert_eq!(fixture.prune(Fixture::all()), ["unused"]);
    assert_eq!(fixture.names(), ["base", "parent of a running one", "running", "used"]);
    drop(running);
    assert_eq!(fixture.prune(Fixture::all()), ["parent of a running one"]);
    drop(used);
    assert_eq!(fixture.prune(Fixture::all()), ["used", "base"]);
    assert!(fixture.names().is_empty());
    assert_eq!(fixture.store.inner.snapshotter.list().unwrap(), []);
}

#[test]
fn pruning_all_leaves_no_blob_that_nobody_holds() {
    let fixture = Fixture::new();
    let layer = fixture.made(None, "layer");
    let stored = fixture.store.blobs().put(b"layer blob").unwrap();
    let config = fixture.store.blobs().put(b"config").unwrap();
    let blob = LayerBlob {
        digest: stored.digest,
        media_type: "x".into(),
        size: stored.size,
        annotations: Default::default(),
        urls: Vec::new(),
    };
    layer.add_layer_blob(&blob).unwrap();
    let digest = stored.digest;
    drop(stored);
    assert_eq!(fixture.prune(Fixture::all()), [""; 0], "one is named, the other held");
    drop(config);
    assert_eq!(fixture.prune(PruneOptions::default()), [""; 0], "it was used just now");
    assert_eq!(fixture.prune(Fixture::all()).len(), 1);
    assert_eq!(fixture.store.blobs().size(&digest).unwrap(), Some(10));
    drop(layer);
    assert_eq!(fixture.prune(Fixture::all()), ["layer"]);
    assert_eq!(fixture.store.blobs().size(&digest).unwrap(), None);
    assert!(fixture.store.blobs().path(&digest).unwrap().is_none());
}

#[test]
fn types_ages_and_filters_narrow_it() {
    let fixture = Fixture::new();
    drop(fixture.active(None, "internal", RecordType::Internal).commit().unwrap());
    drop(fixture.active(None, "frontend", RecordType::Frontend).commit().unwrap());
    drop(fixture.active(None, "local", RecordType::LocalSource).commit().unwrap());
    drop(fixture.made(None, "old"));
    fixture.wait(100);
    drop(fixture.made(None, "new"));
    let filters = vec!["type==source.local".to_owned()];
    assert_eq!(fixture.prune(PruneOptions { filters, ..PruneOptions::default() }), ["local"]);
    let keep_duration = Duration::from_secs(50);
    assert_eq!(fixture.prune(PruneOptions { keep_duration, ..PruneOptions::default() }), ["old"]);
    assert_eq!(fixture.prune(PruneOptions::default()), ["new"]);
    let mut rest = fixture.prune(Fixture::all());
    rest.sort();
    assert_eq!(rest, ["frontend", "internal"]);
}

#[test]
fn a_limit_takes_the_least_valuable_first_and_stops() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for name in ["oldest", "older", "favourite", "newest"] {
        ids.push(fixture.made(None, name).id());
        fixture.wait(10);
    }
    for _ in 0..3 {
        drop(fixture.store.get(&ids[2]).unwrap());
    }
    let size = fixture.store.usage(&[]).unwrap()[0].size;
    let keep = |space| PruneOptions { max_used_space: space, ..PruneOptions::default() };
    assert_eq!(fixture.prune(keep(size * 4)), [""; 0]);
    assert_eq!(fixture.prune(keep(size * 2)), ["oldest", "older"]);
    let reserved = PruneOptions { max_used_space: 1, reserved_space: size, ..PruneOptions::default() };
    assert_eq!(fixture.prune(reserved), ["newest"]);
    let impossible = PruneOptions { min_free_space: u64::MAX, ..PruneOptions::default() };
    assert_eq!(fixture.prune(impossible), ["favourite"]);
}

#[tokio::test]
async fn cache_mounts_stay_while_used() {
    let fixture = Fixture::new();
    let mount = fixture.store.cache_mount("go", Sharing::Shared, None).await.unwrap();
    mount.describe("the go cache").unwrap();
    std::fs::write(mount.directory().join("file"), vec![1; 200_000]).unwrap();
    let records = fixture.store.usage(&["inuse,mutable,type==exec.cachemount".into()]).unwrap();
    assert!(records[0].size >= 200_000);
    assert_eq!(fixture.prune(Fixture::all()), [""; 0]);
    std::fs::remove_file(mount.directory().join("file")).unwrap();
    drop(mount);
    let records = fixture.store.usage(&[]).unwrap();
    assert!(records[0].size < 200_000 && !records[0].in_use && records[0].usage_count == 1);
    assert_eq!(fixture.prune(Fixture::all()), ["the go cache"]);
}

#[test]
fn hooks_hear_of_what_went_and_nothing_finds_it_any_more() {
    let fixture = Fixture::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    fixture.store.on_removed(move |ids| hears.lock().extend_from_slice(ids));
    let made = fixture.made(None, "one");
    let id = made.id();
    let diff_id = DiffId(slipway_model::Digest::of("diff"));
    let chain = slipway_model::ChainId::of(&[diff_id]).unwrap();
    fixture.store.set_chain(&made, &chain, &diff_id, None).unwrap();
    fixture.store.set_name("name", &made).unwrap();
    drop(made);
    fixture.prune(Fixture::all());
    assert_eq!(*heard.lock(), [id]);
    assert!(fixture.store.get(&id).unwrap().is_none());
    assert!(fixture.store.by_chain(&chain).unwrap().is_none());
    assert!(fixture.store.named("name").unwrap().is_none());
}

#[test]
fn pruning_and_using_at_once_never_breaks_a_ref() {
    let fixture = Fixture::new();
    let base = fixture.made(None, "base").id();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (fixture, base) = (&fixture, &base);
            scope.spawn(move || {
                for number in 0..60 {
                    let parent = fixture.store.get(base).unwrap();
                    let made = fixture.made(parent.as_ref(), &format!("{thread}-{number}"));
                    assert!(made.upper_dir().join(format!("{thread}-{number}")).exists());
                    for below in made.chain() {
                        assert!(below.upper_dir().exists());
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..40 {
                fixture.store.prune(&Fixture::all()).unwrap();
            }
        });
    });
    fixture.prune(Fixture::all());
    assert!(fixture.names().is_empty());
    assert_eq!(fixture.store.inner.snapshotter.list().unwrap(), []);
}

#[test]
fn what_no_record_tells_of_is_told_as_overhead() {
    let fixture = Fixture::new();
    let lower = fixture.made(None, "lower");
    fixture.made(Some(&lower), "upper");
    fixture.store.blobs().put(&[1; 50_000]).unwrap();
    fixture.store.flush().unwrap();
    let records: u64 = fixture.store.usage(&[]).unwrap().iter().map(|record| record.size).sum();
    let told = records + fixture.store.overhead().unwrap();
    assert_eq!(told, du(fixture.root.path()));
}

#[test]
fn layers_of_named_images_are_shared_and_go_last() {
    let fixture = Fixture::new();
    let base = fixture.made(None, "base");
    let named = fixture.made(Some(&base), "named");
    drop(fixture.made(Some(&base), "private"));
    let stored = fixture.store.blobs().put(b"layer").unwrap();
    named.add_layer_blob(&layer(&stored)).unwrap();
    let config = fixture.store.blobs().put(b"config").unwrap();
    let digests = vec![stored.digest, config.digest];
    let shared = Arc::new(Mutex::new(Some(fixture.store.share_blobs(digests.clone()))));
    let held = Arc::new(Mutex::new(Some((stored, config))));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (forgets, lets_go, hears) = (shared.clone(), held.clone(), heard.clone());
    fixture.store.on_blobs_removed(move |digests| {
        hears.lock().extend_from_slice(digests);
        forgets.lock().take();
        lets_go.lock().take();
    });
    drop((named, base));
    let shared_ones = fixture.store.usage(&["shared".into()]).unwrap();
    let mut names: Vec<_> = shared_ones.iter().map(|record| record.description.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["base", "blob of no snapshot", "named"]);
    assert_eq!(fixture.prune(PruneOptions::default()), ["private"], "without all, a named image stays whole");
    assert!(heard.lock().is_empty());
    fixture.prune(PruneOptions { max_used_space: 1, ..PruneOptions::default() });
    assert_eq!(*heard.lock(), digests[..1], "a limit counts for named images too");
    assert_eq!(fixture.names(), ["blob of no snapshot"], "used within the hour");
    assert_eq!(fixture.prune(Fixture::all()).len(), 1);
    assert!(fixture.names().is_empty());
}

#[test]
fn everything_goes_of_a_named_image_whose_layers_are_not_here() {
    let fixture = Fixture::new();
    let manifest = fixture.store.blobs().put(b"manifest").unwrap();
    let digest = manifest.digest;
    let held = Mutex::new(Some((fixture.store.share_blobs(vec![digest]), manifest)));
    fixture.store.on_blobs_removed(move |removed| {
        assert_eq!(removed, [digest]);
        held.lock().take();
    });
    assert_eq!(fixture.prune(PruneOptions::default()), [""; 0]);
    assert_eq!(fixture.prune(Fixture::all()), ["blob of no snapshot"]);
    assert!(fixture.names().is_empty());
}

#[test]
fn attached_blobs_stay_as_long_as_their_snapshot() {
    let fixture = Fixture::new();
    let image = fixture.made(None, "image");
    let manifest = fixture.store.blobs().put(b"manifest").unwrap().digest;
    image.attach_blobs(&[manifest]).unwrap();
    image.attach_blobs(&[manifest]).unwrap();
    let records = fixture.store.usage(&[]).unwrap();
    assert_eq!(records.len(), 1, "it counts to the snapshot");
    assert_eq!(records[0].size, image.usage().unwrap() + 4096);
    assert_eq!(image.layer_facts().unwrap().blobs, []);
    fixture.wait(7200);
    assert_eq!(fixture.prune(Fixture::all()), [""; 0]);
    assert!(fixture.store.blobs().path(&manifest).unwrap().is_some());
    drop(image);
    assert_eq!(fixture.prune(Fixture::all()), ["image", "blob of no snapshot"]);
    assert!(fixture.store.blobs().path(&manifest).unwrap().is_none());
}

#[test]
fn an_empty_filter_and_one_by_type_reach_blobs_too() {
    let fixture = Fixture::new();
    let blobs = || (0..3_u8).for_each(|byte| drop(fixture.store.blobs().put(&[byte; 9]).unwrap()));
    for filter in ["", "type==internal", "id~=^sha256:"] {
        blobs();
        let options = PruneOptions { filters: vec![filter.into()], ..Fixture::all() };
        assert_eq!(fixture.prune(options).len(), 3, "{filter:?}");
    }
}

#[test]
fn pruning_tells_what_goes_and_ends_when_told() {
    let fixture = Fixture::new();
    for number in 0..BATCH_AND_MORE {
        drop(fixture.store.prepare(None, described(number)).unwrap().commit().unwrap());
    }
    let mut told = Vec::new();
    fixture
        .store
        .prune_to(&Fixture::all(), |batch| {
            told.push(batch.len());
            if batch.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(fixture.names().len(), BATCH_AND_MORE - told[1]);
    let mut asked = 0;
    fixture
        .store
        .prune_to(&Fixture::all(), |_| {
            asked += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!((asked, fixture.names().len()), (1, BATCH_AND_MORE - told[1]));
}

const BATCH_AND_MORE: usize = 600;

fn described(number: usize) -> PrepareOptions {
    PrepareOptions { description: number.to_string(), ..PrepareOptions::default() }
}

fn layer(stored: &crate::blob::StoredBlob) -> LayerBlob {
    LayerBlob {
        digest: stored.digest,
        media_type: "x".into(),
        size: stored.size,
        annotations: Default::default(),
        urls: Vec::new(),
    }
}

#[test]
fn below_a_limit_no_record_is_looked_at() {
    let fixture = Fixture::new();
    fill(&fixture, 1000);
    let roomy = PruneOptions { max_used_space: u64::MAX, ..PruneOptions::default() };
    let (steps, removed) = counted(&fixture, || fixture.store.prune(&roomy).unwrap());
    assert!(removed.is_empty());
    assert!(steps < 30_000, "{steps}");
}

/// Work is counted in steps of the database's machine, which does not depend on how busy the computer is.
#[test]
fn listing_and_pruning_grow_with_the_number_of_records() {
    let of = |records: usize| {
        let fixture = Fixture::new();
        fill(&fixture, records);
        let (listing, found) = counted(&fixture, || fixture.store.usage(&[]).unwrap());
        assert_eq!(found.len(), records);
        let (pruning, removed) = counted(&fixture, || fixture.store.prune(&Fixture::all()).unwrap());
        assert_eq!(removed.len(), records);
        (listing, pruning)
    };
    let (one, four) = (of(1000), of(4000));
    for (name, one, four) in [("listing", one.0, four.0), ("pruning", one.1, four.1)] {
        // n log n would be 4.8.
        assert!(four < one * 5, "{name}: {one} steps for 1000, {four} for 4000");
    }
}

/// Chains of four, each with a blob, a fact, a name and files shared with the one before.
fn fill(fixture: &Fixture, records: usize) {
    fixture
        .store
        .metadata()
        .with(|db| {
            let mut below: Option<String> = None;
            for number in 0..records {
                let mixed = number as u64 * 7919 + 1;
                let id: String = (0..16).map(|at| (b'a' + (mixed >> (4 * at) & 15) as u8) as char).collect();
                db.execute(
                    "INSERT INTO snapshot VALUES (?1, ?2, 0, 'regular', 'made', ?3, ?3, 1, 4096, 0)",
                    (&id, below.as_ref().filter(|_| number % 4 > 0), number as i64),
                )?;
                let digest = format!("sha256:{number:064x}");
                db.execute("INSERT INTO blob VALUES (?1, 10, 1, 1, 0)", [&digest])?;
                db.execute("INSERT INTO layer VALUES (?1, ?2, 'x', 10, '{}', '[]')", (&id, &digest))?;
                db.execute("INSERT INTO fact VALUES (?1, 'kind', 'value')", [&id])?;
                db.execute("INSERT INTO name VALUES (?1, ?1)", [&id])?;
                if let Some(below) = below.filter(|_| number % 2 == 1) {
                    db.execute("INSERT INTO sharing VALUES (?1, ?2)", (&id, below))?;
                }
                below = Some(id);
            }
            Ok(())
        })
        .unwrap();
}

static STEPS: AtomicU64 = AtomicU64::new(0);
static COUNTING: Mutex<()> = Mutex::new(());
const EACH: i32 = 100;

fn counted<T>(fixture: &Fixture, work: impl FnOnce() -> T) -> (u64, T) {
    extern "C" fn count(_: *mut std::ffi::c_void) -> i32 {
        STEPS.fetch_add(EACH as u64, Ordering::Relaxed);
        0
    }
    let _one_at_a_time = COUNTING.lock();
    STEPS.store(0, Ordering::Relaxed);
    let watch = |every: i32| {
        let counter: Option<unsafe extern "C" fn(*mut std::ffi::c_void) -> i32> = Some(count);
        let set = |db: &rusqlite::Connection| {
            // SAFETY: the handle is open while `with` runs, and the counter needs no data.
            unsafe {
                rusqlite::ffi::sqlite3_progress_handler(db.handle(), every, counter, std::ptr::null_mut());
            }
            Ok(())
        };
        fixture.store.metadata().with(set).unwrap();
    };
    watch(EACH);
    let result = work();
    watch(0);
    (STEPS.load(Ordering::Relaxed), result)
}

/// For a person, with an optimised build: `--run-ignored only`.
#[test]
#[ignore = "takes long, and tells times"]
fn a_hundred_thousand_records() {
    let fixture = Fixture::new();
    fill(&fixture, 100_000);
    fixture.store.flush().unwrap();
    let timed = |name: &str, work: &dyn Fn() -> usize| {
        let started = std::time::Instant::now();
        println!("{name}: {} in {:?}", work(), started.elapsed());
    };
    timed("listing", &|| fixture.store.usage(&[]).unwrap().len());
    timed("total", &|| fixture.store.total().unwrap() as usize);
    let half = PruneOptions { max_used_space: 8192 * 50_000, ..PruneOptions::default() };
    timed("pruning to half", &|| fixture.store.prune(&half).unwrap().len());
    timed("pruning the rest", &|| fixture.store.prune(&Fixture::all()).unwrap().len());
}

#[tokio::test]
async fn files_replaced_in_a_directory_count_in_full_where_they_were_linked() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let file = |path: std::path::PathBuf| std::fs::write(path, vec![7; 64 << 10]).unwrap();
    let directory = store.source_directory("key", "context").await.unwrap();
    let (from, name) = (directory.directory().join("file"), "linked");
    file(from.clone());
    let mut active = store.prepare(None, Default::default()).unwrap();
    active.shares_files_with_directory(&directory).unwrap();
    std::fs::hard_link(&from, active.upper_dir().join(name)).unwrap();
    let snapshot = active.commit().unwrap();
    drop(directory);
    let before = store.usage(&[]).unwrap().iter().map(|record| record.size).sum::<u64>();
    let directory = store.source_directory("key", "context").await.unwrap();
    std::fs::remove_file(&from).unwrap();
    file(from);
    drop(directory);
    let after = store.usage(&[]).unwrap().iter().map(|record| record.size).sum::<u64>();
    assert_eq!(after - before, 64 << 10);
    drop(snapshot);
}

/// What was measured while a snapshot had links into another that it never came to keep.
#[test]
fn links_that_come_to_nothing_leave_no_size_behind() {
    let fixture = Fixture::new();
    let first = fixture.made(None, "first");
    let alone = first.usage().unwrap();
    let size = |store: &Store| {
        let records = store.usage(&[]).unwrap();
        records.iter().find(|record| record.description == "first").unwrap().size
    };
    let linked = || {
        let mut active = fixture.active(None, "linked", RecordType::Regular);
        active.shares_files_with(&first, None).unwrap();
        std::fs::hard_link(first.upper_dir().join("first"), active.upper_dir().join("first")).unwrap();
        assert!(size(&fixture.store) < alone, "two names, two shares");
        active
    };
    drop(linked());
    assert_eq!(size(&fixture.store), alone);

    let killed = linked();
    fixture.store.flush().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let (from, to) = (fixture.root.path().join("."), copy.path());
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
    let (durability, boot_id) = (Durability::Pretended, Some("boot".into()));
    let options = StoreOptions { durability, boot_id, ..StoreOptions::default() };
    assert_eq!(size(&Store::open(copy.path(), options).unwrap()), alone);
    drop(killed);
}
