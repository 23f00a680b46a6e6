use std::io::{Read as _, Write as _};
use std::path::Path;

use slipway_model::{BlobDigest, Digest};

use super::*;
use crate::metadata::Durability;
use crate::store::{Store, StoreOptions};

fn options() -> StoreOptions {
    StoreOptions {
        snapshotter: crate::SnapshotterChoice::Native,
        durability: Durability::Pretended,
        ..Default::default()
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), options()).unwrap();
    (root, store)
}

fn of(text: &str) -> BlobDigest {
    BlobDigest(Digest::of(text))
}

fn files(root: &Path) -> usize {
    let blobs = std::fs::read_dir(root.join("blobs/sha256")).unwrap();
    let count = |path: PathBuf| std::fs::read_dir(path).unwrap().count();
    count(root.join("ingest")) + blobs.map(|entry| count(entry.unwrap().path())).sum::<usize>()
}

#[test]
fn what_is_written_is_read() {
    let (_root, store) = store();
    let blobs = store.blobs();
    assert!(blobs.open(&of("text")).unwrap().is_none());
    let mut ingest = blobs.ingest(Some((of("text"), Some(4)))).unwrap();
    ingest.write_all(b"te").unwrap();
    assert!(blobs.open(&of("text")).unwrap().is_none());
    ingest.write_all(b"xt").unwrap();
    let stored = ingest.commit().unwrap();
    assert_eq!((stored.digest, stored.size), (of("text"), 4));
    let mut text = String::new();
    blobs.open(&of("text")).unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
    assert_eq!(blobs.size(&of("text")).unwrap(), Some(4));
    assert!(blobs.path(&of("text")).unwrap().unwrap().exists());
    blobs.remove(&of("text")).unwrap();
    blobs.remove(&of("text")).unwrap();
    assert!(blobs.open(&of("text")).unwrap().is_none());
}

#[test]
fn what_was_not_expected_is_refused_and_leaves_nothing() {
    let (root, store) = store();
    let blobs = store.blobs();
    let write = |expected, text: &str| {
        let mut ingest = blobs.ingest(Some(expected)).unwrap();
        ingest.write_all(text.as_bytes()).map_err(|error| error.downcast::<Error>().unwrap())?;
        ingest.commit()
    };
    let wrong = write((of("a"), None), "b").unwrap_err();
    assert_eq!(wrong.to_string(), format!("blob has digest {}, expected {}", of("b"), of("a")));
    let short = write((of("abc"), Some(3)), "ab").unwrap_err();
    assert_eq!(short.to_string(), format!("blob {} has 2 bytes, expected 3", of("abc")));
    let long = write((of("abc"), Some(3)), "abcd").unwrap_err();
    assert!(matches!(long, Error::WrongSize { expected: 3, actual: 4, .. }));
    let sha512: BlobDigest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    assert!(matches!(blobs.ingest(Some((sha512, None))), Err(Error::Algorithm { .. })));
    assert_eq!(files(root.path()), 0);
}

#[test]
fn the_same_blob_twice_is_one() {
    let (root, store) = store();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store.blobs().put(b"same").unwrap());
        }
    });
    assert_eq!(files(root.path()), 1);
    assert_eq!(store.blobs().size(&of("same")).unwrap(), Some(4));
}

#[test]
fn a_torn_file_is_noticed() {
    let (_root, store) = store();
    store.blobs().put(b"whole").unwrap();
    let path = store.blobs().path(&of("whole")).unwrap().unwrap();
    std::fs::write(path, b"who").unwrap();
    assert!(matches!(store.blobs().open(&of("whole")), Err(Error::WrongSize { expected: 5, actual: 3, .. })));
    store.blobs().put(b"whole").unwrap();
    assert!(store.blobs().open(&of("whole")).unwrap().is_some());
}

#[test]
fn a_damaged_blob_does_not_leave_the_store_and_is_replaced() {
    for damage in [b"whOle".as_slice(), b"who"] {
        let (root, store) = store();
        store.blobs().put(b"whole").unwrap();
        let path = store.blobs().path(&of("whole")).unwrap().unwrap();
        assert!(store.blobs().open_whole(&of("whole")).unwrap().is_some());
        drop(store);
        std::fs::write(&path, damage).unwrap();
        let again = || Store::open(root.path(), options()).unwrap();
        let store = again();
        assert!(store.blobs().open_whole(&of("whole")).unwrap().is_none());
        assert!(!path.exists() && store.blobs().size(&of("whole")).unwrap().is_none());
        store.blobs().put(b"whole").unwrap();
        drop(store);
        // Found by nobody, and written once more.
        std::fs::write(&path, damage).unwrap();
        let store = again();
        store.blobs().put(b"whole").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert!(store.blobs().open_whole(&of("whole")).unwrap().is_some());
    }
}
