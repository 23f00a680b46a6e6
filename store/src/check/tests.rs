use std::path::Path;

use super::*;
use crate::Durability;
use crate::refs::PrepareOptions;
use crate::snapshot::SnapshotterChoice;
use crate::store::{Store, StoreOptions};

fn open(root: &Path) -> Store {
    let options = StoreOptions {
        snapshotter: SnapshotterChoice::Native,
        durability: Durability::Pretended,
        boot_id: Some("boot".into()),
        ..StoreOptions::default()
    };
    Store::open(root, options).unwrap()
}

/// A closed root with two snapshots, a blob and a measured size.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store.blobs().put(b"some content").unwrap();
    let lower = store.prepare(None, PrepareOptions::default()).unwrap();
    std::fs::write(lower.upper_dir().join("file"), vec![1; 10_000]).unwrap();
    let lower = lower.commit().unwrap();
    let upper = store.prepare(Some(&lower), PrepareOptions::default()).unwrap().commit().unwrap();
    store.set_name("top", &upper).unwrap();
    store.usage(&[]).unwrap();
    root
}

fn kinds(root: &Path, deep: bool) -> Vec<&'static str> {
    let mut kinds: Vec<_> =
        Inspection::open(root).unwrap().findings(deep).unwrap().iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    kinds
}

fn rows(root: &Path, sql: &str) {
    let db = Connection::open(root.join("metadata.db")).unwrap();
    db.execute_batch(sql).unwrap();
}

fn only_file(folder: &Path) -> std::path::PathBuf {
    let mut path = folder.to_owned();
    while path.is_dir() {
        path = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
    }
    path
}

#[test]
fn a_whole_root_has_no_findings_and_stays_as_it_is() {
    let root = root();
    let before = std::fs::read(root.path().join("metadata.db")).unwrap();
    assert_eq!(kinds(root.path(), true), Vec::<&str>::new());
    assert!(!Inspection::open(root.path()).unwrap().was_left_unclean());
    assert_eq!(std::fs::read(root.path().join("metadata.db")).unwrap(), before);
}

#[test]
fn a_root_in_use_or_no_root_is_refused() {
    let root = tempfile::tempdir().unwrap();
    assert!(Inspection::open(root.path()).is_err());
    let _store = open(root.path());
    assert!(matches!(Inspection::open(root.path()), Err(Error::Locked { .. })));
}

#[test]
fn every_disagreement_is_named() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 9] = [
        ("snapshot-leftover", |root| {
            std::fs::create_dir_all(root.join("snapshots/native/aaaaaaaaaaaaaaaa/fs")).unwrap();
        }),
        ("snapshot-missing", |root| {
            let snapshots = std::fs::read_dir(root.join("snapshots/native")).unwrap();
            snapshots.for_each(|entry| std::fs::remove_dir_all(entry.unwrap().path()).unwrap());
        }),
        ("snapshot-size", |root| rows(root, "UPDATE snapshot SET size = size + 4096 WHERE parent IS NULL")),
        ("snapshot-parent", |root| {
            rows(root, "UPDATE snapshot SET parent = 'aaaaaaaaaaaaaaaa' WHERE parent IS NOT NULL");
        }),
        ("row-without-snapshot", |root| rows(root, "UPDATE name SET snapshot = 'aaaaaaaaaaaaaaaa'")),
        ("blob-missing", |root| std::fs::remove_file(only_file(&root.join("blobs"))).unwrap()),
        ("blob-leftover", |root| rows(root, "DELETE FROM blob")),
        ("blob-size", |root| std::fs::write(only_file(&root.join("blobs")), b"some").unwrap()),
        ("blob-content", |root| std::fs::write(only_file(&root.join("blobs")), b"some contenT").unwrap()),
    ];
    for (kind, harm) in harms {
        let root = root();
        harm(root.path());
        let found = kinds(root.path(), true);
        assert!(!found.is_empty() && found.iter().all(|found| *found == kind), "{kind}: {found:?}");
    }
}

#[test]
fn a_database_that_is_none_is_named() {
    let root = root();
    std::fs::write(root.path().join("metadata.db"), "no database, yet long enough".repeat(400)).unwrap();
    assert_eq!(kinds(root.path(), false), ["database"]);
    std::fs::remove_file(root.path().join("metadata.db")).unwrap();
    assert_eq!(kinds(root.path(), false), ["database"]);
}
