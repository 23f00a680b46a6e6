use std::path::Path;

use slipway_model::{BlobDigest, ChainId, DiffId, Digest};

use super::*;
use crate::Durability;
use crate::snapshot::SnapshotterChoice;
use crate::store::StoreOptions;

fn options() -> StoreOptions {
    StoreOptions {
        snapshotter: SnapshotterChoice::Auto,
        durability: Durability::Pretended,
        boot_id: Some("boot".into()),
        ..StoreOptions::default()
    }
}

fn open(root: &Path) -> Store {
    Store::open(root, options()).unwrap()
}

fn made(store: &Store, parent: Option<&Ref>, name: &str) -> Ref {
    let active =
        store.prepare(parent, PrepareOptions { description: name.into(), ..Default::default() }).unwrap();
    let mounted = active.mount().unwrap();
    rustix::fs::mkdirat(mounted.root(), name, rustix::fs::Mode::RWXU).unwrap();
    drop(mounted);
    active.commit().unwrap()
}

#[test]
fn what_is_committed_is_found_again_also_by_the_next_process() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let lower = made(&store, None, "lower");
    let upper = made(&store, Some(&lower), "upper");
    let id = upper.id();
    assert_eq!(store.get(&id).unwrap().unwrap(), upper);
    drop((lower, upper, store));

    let store = open(root.path());
    let upper = store.get(&id).unwrap().unwrap();
    assert_eq!(upper.depth(), 2);
    assert_eq!(upper.description(), "upper");
    assert_eq!(upper.chain().last(), Some(&upper));
    assert_eq!(upper.chain().first(), upper.parent());
    let mounted = upper.mount().unwrap();
    let names: Vec<_> = crate::inroot::read_dir(mounted.root(), Path::new("/"), 10)
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(names, ["lower", "upper"]);
    assert!(upper.usage().unwrap() > 0);
}

#[test]
fn what_is_dropped_without_a_commit_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let active = store.prepare(None, PrepareOptions::default()).unwrap();
    let (id, directory) = (active.id(), active.upper_dir());
    assert!(directory.exists());
    assert!(store.get(&id).unwrap().is_none());
    drop(active);
    assert!(!directory.exists());
    assert!(store.get(&id).unwrap().is_none());
}

#[test]
fn a_very_long_chain_can_be_dropped() {
    let root = tempfile::tempdir().unwrap();
    let options = StoreOptions { snapshotter: SnapshotterChoice::Native, ..options() };
    let store = Store::open(root.path(), options).unwrap();
    let mut top = store.prepare(None, PrepareOptions::default()).unwrap().commit().unwrap();
    for _ in 0..1000 {
        top = store.prepare(Some(&top), PrepareOptions::default()).unwrap().commit().unwrap();
    }
    let id = top.id();
    drop(top);
    let top = store.get(&id).unwrap().unwrap();
    assert_eq!(top.depth(), 1001);
    std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(top)).unwrap().join().unwrap();
}

#[test]
fn layers_are_found_by_chain_and_their_facts_kept() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let snapshot = made(&store, None, "layer");
    let diff_id = DiffId(Digest::of("tar"));
    let chain = ChainId::of(&[diff_id]).unwrap();
    let blob = |text: &str| LayerBlob {
        digest: BlobDigest(Digest::of(text)),
        media_type: slipway_model::media_type::OCI_LAYER_GZIP.into(),
        size: 3,
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        urls: vec!["https://host/layer".into()],
    };
    assert!(store.by_chain(&chain).unwrap().is_none());
    assert_eq!(snapshot.layer_facts().unwrap(), LayerFacts::default());
    assert!(!store.is_packed(&snapshot.id()).unwrap());
    store.set_chain(&snapshot, &chain, &diff_id, Some(&blob("gzip"))).unwrap();
    snapshot.add_layer_blob(&blob("zstd")).unwrap();
    snapshot.add_layer_blob(&LayerBlob { urls: Vec::new(), ..blob("zstd") }).unwrap();
    let other = made(&store, None, "the same layer unpacked twice");
    store.set_chain(&other, &chain, &diff_id, None).unwrap();
    assert_eq!(store.by_chain(&chain).unwrap().unwrap(), snapshot);
    assert!(store.is_packed(&snapshot.id()).unwrap());
    assert!(!store.is_packed(&other.id()).unwrap(), "no form of its own is known");
    let facts = snapshot.layer_facts().unwrap();
    assert_eq!(facts.diff_id, Some(diff_id));
    assert_eq!(facts.blobs.len(), 2);
    assert!(facts.blobs.contains(&blob("gzip")));
}

#[test]
fn facts_are_kept_beside_a_snapshot_and_go_with_it() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let snapshot = made(&store, None, "one");
    assert_eq!(snapshot.fact("digests").unwrap(), None);
    snapshot.set_fact("digests", b"1").unwrap();
    snapshot.set_fact("digests", b"2").unwrap();
    assert_eq!(snapshot.fact("digests").unwrap().unwrap(), b"2");
    assert_eq!(snapshot.fact("other").unwrap(), None);
    drop(snapshot);
    store.prune(&crate::PruneOptions { all: true, ..Default::default() }).unwrap();
    let left: i64 =
        store.metadata().with(|db| db.query_row("SELECT count(*) FROM fact", [], |r| r.get(0))).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn names_move() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    assert!(store.named("context").unwrap().is_none());
    let one = made(&store, None, "one");
    let two = made(&store, Some(&one), "two");
    store.set_name("context", &one).unwrap();
    store.set_name("context", &two).unwrap();
    assert_eq!(store.named("context").unwrap().unwrap(), two);
    store.remove_name("context").unwrap();
    assert!(store.named("context").unwrap().is_none());
}

#[tokio::test]
async fn cache_mounts_are_shared_private_or_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let take = async |sharing| store.cache_mount("go", sharing, None).await.unwrap();
    let one = take(Sharing::Shared).await;
    let two = take(Sharing::Shared).await;
    assert_eq!(one.id(), two.id());
    let private = take(Sharing::Private).await;
    assert_ne!(private.id(), one.id());
    let free = private.id();
    drop(private);
    let locked = take(Sharing::Locked).await;
    assert_eq!(locked.id(), free);
    let other = store.clone();
    let waiting =
        tokio::spawn(async move { other.cache_mount("go", Sharing::Locked, None).await.unwrap().id() });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(locked);
    assert_eq!(waiting.await.unwrap(), free);
    let elsewhere = store.cache_mount("npm", Sharing::Locked, None).await.unwrap();
    assert!(![one.id(), free].contains(&elsewhere.id()));
}

#[tokio::test]
async fn many_that_share_a_new_cache_share_one() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let base = made(&store, None, "seed");
    let takers: Vec<_> = (0..16)
        .map(|_| {
            let (store, base) = (store.clone(), base.clone());
            tokio::spawn(async move { store.cache_mount("x", Sharing::Shared, Some(&base)).await.unwrap() })
        })
        .collect();
    let mut mounts = Vec::new();
    for taker in takers {
        mounts.push(taker.await.unwrap());
    }
    assert!(mounts.iter().all(|mount| mount.id() == mounts[0].id()));
    assert!(mounts[0].directory().join("seed").exists());
    std::fs::write(mounts[0].directory().join("kept"), "").unwrap();
    let without_base = store.cache_mount("x", Sharing::Shared, None).await.unwrap();
    assert!(!without_base.directory().join("seed").exists());
    drop((mounts, without_base, base, store));

    let store = open(root.path());
    let base = store.named("none").unwrap();
    assert!(base.is_none());
    let rows = store.metadata().with(table::all).unwrap();
    assert_eq!(rows.iter().filter(|row| row.mutable && row.usage_count > 0).count(), 2);
}

#[test]
fn no_stack_gets_two_names_of_a_file() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let on = |parent: Option<&Ref>| store.prepare(parent, PrepareOptions::default()).unwrap();
    let linked = |from: &Ref, moved: Option<Moved<'_>>| {
        let mut active = on(None);
        active.shares_files_with(from, moved).unwrap();
        active.commit().unwrap()
    };
    let app = Some(Moved { from: b"/src", to: b"/app" });
    let elsewhere = Some(Moved { from: b"/src", to: b"/elsewhere" });
    let same = Some(Moved { from: b"/src", to: b"/src" });

    let origin = made(&store, None, "src");
    let moved = linked(&origin, app);
    let stays = linked(&origin, None);
    let back = linked(&moved, Some(Moved { from: b"/app", to: b"/src" }));

    let may = |parent: Option<&Ref>, other: &Ref, moved| on(parent).may_share(other, moved).unwrap();
    for (parent, other, how, expected) in [
        (None, &origin, app, true),
        (Some(&made(&store, None, "other")), &origin, app, true),
        // The same file at its own path, wherever it comes from.
        (Some(&origin), &stays, None, true),
        (Some(&stays), &origin, same, true),
        (Some(&moved), &origin, app, true),
        // At two paths.
        (Some(&origin), &origin, app, false),
        (Some(&stays), &origin, app, false),
        (Some(&origin), &moved, None, false),
        (Some(&moved), &origin, None, false),
        (Some(&moved), &origin, elsewhere, false),
        (Some(&moved), &stays, elsewhere, false),
        // It is not known to have come home; a copy is always right.
        (Some(&origin), &back, None, false),
    ] {
        assert_eq!(may(parent, other, how), expected, "{parent:?} {other:?} {how:?}");
    }

    // Known to the next process too, and as long as the files are there.
    let ids = (moved.id(), stays.id());
    drop((origin, moved, stays, back, store));
    let (moved, stays) = ids;
    let store = open(root.path());
    let (moved, stays) = (store.get(&moved).unwrap().unwrap(), store.get(&stays).unwrap().unwrap());
    let active = store.prepare(Some(&stays), PrepareOptions::default()).unwrap();
    assert!(!active.may_share(&moved, None).unwrap());

    // Also within one operation.
    let mut active = store.prepare(None, PrepareOptions::default()).unwrap();
    active.shares_files_with(&stays, app).unwrap();
    assert!(active.may_share(&stays, app).unwrap());
    assert!(!active.may_share(&stays, elsewhere).unwrap());
}
