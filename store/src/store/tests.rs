//! Crashes, power losses, second users, and random sequences of everything.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::refs::{PrepareOptions, Ref, Sharing};
use crate::usage::PruneOptions;

fn options(boot_id: &str) -> StoreOptions {
    StoreOptions {
        durability: Durability::Pretended,
        boot_id: Some(boot_id.into()),
        ..StoreOptions::default()
    }
}

fn open(root: &Path, boot_id: &str) -> Store {
    Store::open(root, options(boot_id)).unwrap()
}

fn made(store: &Store, parent: Option<&Ref>) -> Ref {
    let active = store.prepare(parent, PrepareOptions::default()).unwrap();
    std::fs::write(active.upper_dir().join(active.id().as_str()), active.id().as_str()).unwrap();
    active.commit().unwrap()
}

/// The root as it is at this moment, as a kill leaves it.
fn killed(root: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-a").arg(root.join(".")).arg(copy.path()).status().unwrap();
    assert!(status.success());
    copy
}

/// Every row has its directory with its file, and no directory is without a row.
fn assert_whole(store: &Store) {
    let records = store.usage(&[]).unwrap();
    let mut directories = store.inner.snapshotter.list().unwrap();
    for record in &records {
        let Ok(id) = record.id.parse::<SnapshotId>() else { continue };
        directories.retain(|other| *other != id);
        if let Some(snapshot) = store.get(&id).unwrap() {
            assert!(snapshot.upper_dir().join(id.as_str()).exists(), "{id}");
        } else {
            assert!(record.mutable, "{id} has a row but cannot be used");
        }
    }
    assert_eq!(directories, [], "directories without a row");
}

#[test]
fn a_root_is_private_and_has_one_user() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("deep/root");
    let store = open(&root, "a");
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(matches!(Store::open(&root, options("a")), Err(Error::Locked { .. })));
    let snapshot = made(&store, None);
    drop(store);
    assert!(matches!(Store::open(&root, options("a")), Err(Error::Locked { .. })), "a Ref still uses it");
    drop(snapshot);
    open(&root, "a");
}

#[test]
fn a_root_keeps_its_snapshotter_and_a_newer_one_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let choose = |snapshotter| Store::open(root.path(), StoreOptions { snapshotter, ..options("a") });
    drop(choose(SnapshotterChoice::Native).unwrap());
    assert_eq!(choose(SnapshotterChoice::Auto).unwrap().snapshotter(), "native");
    let other = choose(SnapshotterChoice::Overlay);
    assert!(matches!(other, Err(Error::OtherSnapshotter { .. })), "{other:?}");
    std::fs::write(root.path().join("layout"), "2\n").unwrap();
    let newer = choose(SnapshotterChoice::Auto);
    assert!(matches!(newer, Err(Error::Newer { found: 2, known: 1, .. })), "{newer:?}");
}

#[test]
fn a_kill_leaves_what_was_committed_and_nothing_else() {
    use std::io::Write as _;
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), "a");
    let lower = made(&store, None);
    let upper = made(&store, Some(&lower));
    let _running = store.prepare(Some(&upper), PrepareOptions::default()).unwrap();
    let mut ingest = store.blobs().ingest(None).unwrap();
    ingest.write_all(b"half").unwrap();
    let whole = store.blobs().put(b"whole").unwrap();
    store.flush().unwrap();

    let copy = killed(root.path());
    let reopened = open(copy.path(), "a");
    assert_whole(&reopened);
    assert_eq!(reopened.get(&upper.id()).unwrap().unwrap().depth(), 2);
    assert!(reopened.blobs().open(&whole.digest).unwrap().is_some());
    assert_eq!(std::fs::read_dir(copy.path().join("ingest")).unwrap().count(), 0);
}

#[test]
fn a_power_loss_takes_what_was_not_durable_with_all_that_stands_on_it() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), "a");
    let old = made(&store, None);
    let old_blob = store.blobs().put(b"old").unwrap();
    store.metadata().make_durable().unwrap();
    let new = made(&store, Some(&old));
    let newest = made(&store, Some(&new));
    let new_blob = store.blobs().put(b"new").unwrap();
    store.flush().unwrap();

    let copy = killed(root.path());
    let reopened = open(copy.path(), "b");
    assert_whole(&reopened);
    assert!(reopened.get(&old.id()).unwrap().is_some());
    assert!(reopened.get(&new.id()).unwrap().is_none());
    assert!(reopened.get(&newest.id()).unwrap().is_none());
    assert!(reopened.blobs().open(&old_blob.digest).unwrap().is_some());
    assert!(reopened.blobs().open(&new_blob.digest).unwrap().is_none());
}

#[tokio::test]
async fn a_power_loss_takes_the_cache_mounts_in_use() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), "a");
    let take = async |id| store.cache_mount(id, Sharing::Shared, None).await.unwrap();
    let idle = take("idle").await;
    let idle_id = idle.id();
    drop(idle);
    let used = take("used").await;
    store.metadata().make_durable().unwrap();
    for (boot, expected) in [("a", vec![idle_id, used.id()]), ("b", vec![idle_id])] {
        let copy = killed(root.path());
        let reopened = open(copy.path(), boot);
        let ids: Vec<SnapshotId> =
            reopened.usage(&[]).unwrap().iter().map(|record| record.id.parse().unwrap()).collect();
        assert_eq!(ids.len(), expected.len(), "{boot}");
        assert!(expected.iter().all(|id| ids.contains(id)), "{boot}");
        assert_whole(&reopened);
    }
}

#[test]
fn rows_without_files_are_dropped_with_all_that_stands_on_them() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), "a");
    let lower = made(&store, None);
    let upper = made(&store, Some(&lower));
    store.flush().unwrap();
    let copy = killed(root.path());
    let directory = format!("snapshots/{}/{}", store.snapshotter(), lower.id());
    std::fs::remove_dir_all(copy.path().join(directory)).unwrap();
    let reopened = open(copy.path(), "a");
    assert!(reopened.get(&upper.id()).unwrap().is_none());
    assert_whole(&reopened);
}

#[test]
fn a_lost_database_leaves_an_empty_store() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path(), "a");
    made(&store, None);
    store.blobs().put(b"blob").unwrap();
    drop(store);
    std::fs::write(root.path().join("metadata.db"), "no database ".repeat(1000)).unwrap();
    let reopened = open(root.path(), "a");
    assert_whole(&reopened);
    assert_eq!(reopened.usage(&[]).unwrap(), []);
    made(&reopened, None);
}

/// Runs in a process of its own, as told by its environment, until it is killed.
#[test]
fn child_that_is_killed() {
    let Ok(root) = std::env::var("SLIPWAY_TEST_KILLED_ROOT") else { return };
    let store = open(Path::new(&root), "a");
    let mut parent: Option<Ref> = None;
    for number in 0.. {
        let snapshot = made(&store, parent.as_ref().filter(|parent| parent.depth() < 20));
        let blob = store.blobs().put(format!("blob {number}").as_bytes()).unwrap();
        store.flush().unwrap();
        println!("made {} {}", snapshot.id(), blob.digest);
        let running = store.prepare(Some(&snapshot), PrepareOptions::default()).unwrap();
        std::fs::write(running.upper_dir().join("half"), "").unwrap();
        if number % 7 == 6 {
            parent = None;
            drop(running);
            let size = 40_000;
            let removed =
                store.prune(&PruneOptions { max_used_space: size, ..PruneOptions::default() }).unwrap();
            removed.iter().for_each(|record| println!("gone {}", record.id));
        } else {
            parent = Some(snapshot);
        }
    }
}

#[test]
fn a_real_kill_loses_nothing_reported_and_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let mut reported: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_that_is_killed", "--nocapture"])
            .env("SLIPWAY_TEST_KILLED_ROOT", root.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: String| {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                // The first line shares its line with the test's own.
                [.., "made", id, blob] => {
                    reported.insert(id.into(), blob.into());
                }
                [.., "gone", id] => {
                    reported.remove(id);
                }
                _ => {}
            }
        };
        for _ in 0..20 + 17 * round {
            note(lines.next().unwrap().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.map_while(Result::ok).for_each(note);

        let store = open(root.path(), "a");
        assert_whole(&store);
        // One prune may have been under way, its removals not told yet: they may be missing, all others not.
        let missing = reported.keys().filter(|id| store.get(&id.parse().unwrap()).unwrap().is_none()).count();
        let pruned_at_once = 7 * (round + 1);
        assert!(missing <= pruned_at_once, "{missing} of {} are missing", reported.len());
        reported.retain(|id, _| store.get(&id.parse().unwrap()).unwrap().is_some());
        for record in store.usage(&[]).unwrap() {
            if let Ok(digest) = record.id.parse() {
                assert!(store.blobs().open(&digest).unwrap().is_some());
            }
        }
    }
}

/// A small generator, so that a seed tells everything.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }
}

#[test]
fn random_sequences_keep_rows_files_and_refs_in_step() {
    let seed =
        std::env::var("SLIPWAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            u64::from_le_bytes(SnapshotId::random().unwrap().as_str().as_bytes()[..8].try_into().unwrap())
        });
    println!("SLIPWAY_TEST_SEED={seed}");
    let mut random = Random(seed);
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path(), "a");
    let mut refs: Vec<Ref> = Vec::new();
    let mut actives = Vec::new();
    for _ in 0..400 {
        match random.below(12) {
            0..=4 => {
                let parent = refs.get(random.below(refs.len() + 1)).filter(|parent| parent.depth() < 12);
                let active = store.prepare(parent, PrepareOptions::default()).unwrap();
                std::fs::write(active.upper_dir().join(active.id().as_str()), "").unwrap();
                actives.push(active);
            }
            5..=7 if !actives.is_empty() => {
                refs.push(actives.swap_remove(random.below(actives.len())).commit().unwrap());
            }
            8 if !actives.is_empty() => drop(actives.swap_remove(random.below(actives.len()))),
            9 if !refs.is_empty() => drop(refs.swap_remove(random.below(refs.len()))),
            10 => {
                let max_used_space = random.below(200_000) as u64;
                store.prune(&PruneOptions { max_used_space, ..PruneOptions::default() }).unwrap();
            }
            11 if random.below(8) == 0 => {
                let ids: Vec<_> = refs.iter().map(Ref::id).collect();
                refs.clear();
                actives.clear();
                drop(store);
                store = open(root.path(), "b");
                refs.extend(ids.iter().filter_map(|id| store.get(id).unwrap()));
                assert_eq!(refs.len(), ids.len());
            }
            _ => {}
        }
        for snapshot in &refs {
            assert!(
                snapshot.chain().iter().all(|below| below.upper_dir().join(below.id().as_str()).exists())
            );
        }
    }
    actives.clear();
    assert_whole(&store);
    refs.clear();
    store.prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert_eq!(store.usage(&[]).unwrap(), []);
    assert_whole(&store);
}

/// Runs in a process of its own with a small filesystem mounted on the directory it is told.
#[test]
fn child_on_a_small_disk() {
    let Ok(root) = std::env::var("SLIPWAY_TEST_SMALL_ROOT") else { return };
    let store = open(Path::new(&root), "a");
    let kept = made(&store, None);
    store.flush().unwrap();
    let mut refused = false;
    for number in 0..400_u32 {
        let stored = store.blobs().ingest(None).and_then(|mut ingest| {
            use std::io::Write as _;
            let bytes = number.to_le_bytes().repeat(10_000);
            ingest.write_all(&bytes).map_err(|error| Error::io("write", &root, error))?;
            ingest.commit()
        });
        refused |= matches!(stored, Err(Error::NoSpace { .. }));
    }
    assert!(refused, "a full disk is told by its own error");
    while std::fs::write(Path::new(&root).join("filling"), vec![1; 1 << 24]).is_ok() {}
    let mut errors = Vec::new();
    for _ in 0..2000 {
        let active =
            store.prepare(Some(&kept), PrepareOptions { description: "x".repeat(500), ..Default::default() });
        errors.extend(active.and_then(|active| active.commit()).err());
        errors.extend(store.flush().err());
    }
    assert!(!errors.is_empty());
    for error in &errors {
        assert!(matches!(error, Error::NoSpace { .. } | Error::WritesLost { .. }), "{error:?}");
    }
    store.prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    let after = made(&store, Some(&kept));
    // The first flush may still tell of what was lost before.
    store.flush().or_else(|_| store.flush()).unwrap();
    assert!(store.get(&after.id()).unwrap().is_some());
    println!("survived");
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let root = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=12m,mode=700 tmpfs "$SLIPWAY_TEST_SMALL_ROOT" || exit 77
        exec "$0" --exact store::tests::child_on_a_small_disk --nocapture"#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("SLIPWAY_TEST_SMALL_ROOT", root.path())
        .output();
    let Ok(output) = output else { return println!("skipped: unshare is not here") };
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || text.contains("unshare failed") {
        return println!("skipped: mounting is not allowed here");
    }
    assert!(text.contains("survived"), "{text}");
}
