//! Digests of small trees, and of the same trees by other ways: cached, inherited, persisted.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;

fn sample() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    fs::create_dir_all(root.join("a/deep")).unwrap();
    fs::create_dir_all(root.join("b")).unwrap();
    fs::write(root.join("a/one"), "one").unwrap();
    fs::write(root.join("a/deep/two"), "two").unwrap();
    fs::write(root.join("b/three"), "three").unwrap();
    symlink("../b", root.join("a/link")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    tree
}

fn selector(path: &str) -> Selector {
    Selector { path: path.into(), ..Selector::default() }
}

fn digest(cache: &ContentCache, root: &Path, selector: &Selector) -> Result<Digest> {
    cache.digest(fs::File::open(root).unwrap().as_fd(), selector)
}

fn fresh(root: &Path, path: &str) -> String {
    digest(&ContentCache::default(), root, &selector(path)).map_or_else(|e| e.to_string(), |d| d.to_string())
}

#[test]
fn links_are_followed_inside_the_tree() {
    let tree = sample();
    assert_eq!(fresh(tree.path(), "/a/link/three"), fresh(tree.path(), "/b/three"));
    assert_eq!(fresh(tree.path(), "/a/nothing"), "\"/a/nothing\": not found");
    let followed = Selector { follow_links: true, ..selector("/loop") };
    assert_eq!(
        digest(&ContentCache::default(), tree.path(), &followed).unwrap_err().to_string(),
        "too many links"
    );
    symlink("/../../../../b", tree.path().join("out")).unwrap();
    assert_eq!(fresh(tree.path(), "/out/three"), fresh(tree.path(), "/b/three"));
}

#[test]
fn a_cache_answers_without_the_tree() {
    let tree = sample();
    let cache = ContentCache::default();
    let before = digest(&cache, tree.path(), &selector("/a")).unwrap();
    fs::remove_dir_all(tree.path().join("a")).unwrap();
    assert_eq!(digest(&cache, tree.path(), &selector("/a")).unwrap(), before);
    let loaded = ContentCache::from_bytes(&cache.to_bytes(None), None).unwrap();
    assert_eq!(digest(&loaded, tree.path(), &selector("/a")).unwrap(), before);
    assert_eq!(fresh(tree.path(), "/a"), "\"/a\": not found");
}

/// The merged tree is made by hand, so that no mount is needed.
#[test]
fn a_child_inherits_what_its_upper_directory_leaves_alone() {
    let (parent, merged, upper) = (sample(), sample(), tempfile::tempdir().unwrap());
    let cache = ContentCache::default();
    digest(&cache, parent.path(), &selector("/")).unwrap();

    let (m, u) = (merged.path(), upper.path());
    for root in [m, u] {
        fs::create_dir_all(root.join("a/new")).unwrap();
        fs::write(root.join("a/one"), "changed").unwrap();
        fs::write(root.join("a/new/four"), "four").unwrap();
    }
    fs::remove_dir_all(m.join("a/deep")).unwrap();
    let device = rustix::fs::mknodat(
        fs::File::open(u.join("a")).unwrap(),
        "deep",
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::empty(),
        0,
    );
    if device.is_err() {
        println!("skipped: devices cannot be made here");
        return;
    }
    let child = cache.inherit(fs::File::open(u).unwrap().as_fd()).unwrap();
    // Nothing but the change may be read: what was inherited is gone from the merged tree.
    assert_eq!(
        digest(&child, m, &selector("/b/three")).unwrap(),
        digest(&cache, parent.path(), &selector("/b/three")).unwrap()
    );
    assert_eq!(digest(&child, m, &selector("/")).unwrap().to_string(), fresh(m, "/"));
    assert_eq!(digest(&child, m, &selector("/a/deep")).unwrap_err().to_string(), "\"/a/deep\": not found");

    let small = child.to_bytes(Some(&cache));
    assert!(small.len() < child.to_bytes(None).len());
    let loaded = ContentCache::from_bytes(&small, Some(&cache)).unwrap();
    assert_eq!(digest(&loaded, m, &selector("/")).unwrap().to_string(), fresh(m, "/"));
    let orphan = ContentCache::from_bytes(&small, None).unwrap();
    assert_eq!(digest(&orphan, m, &selector("/b")).unwrap().to_string(), fresh(m, "/b"));
}

#[test]
fn a_receiver_notes_digests_as_it_writes() {
    let tree = sample();
    let cache = ContentCache::received();
    let mut paths = vec!["a", "a/one", "a/deep", "a/deep/two", "a/link", "b", "b/three", "loop", "gone"];
    fs::write(tree.path().join("gone"), "").unwrap();
    for path in paths.drain(..) {
        let file = tree.path().join(path);
        let metadata = fs::symlink_metadata(&file).unwrap();
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => EntryKind::Directory,
            kind if kind.is_symlink() => EntryKind::Symlink {
                target: fs::read_link(&file).unwrap().into_os_string().into_encoded_bytes().into(),
            },
            _ => EntryKind::File { size: metadata.len() },
        };
        let header = EntryHeader {
            kind,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            xattrs: Vec::new(),
        };
        let mut hasher = header.hasher();
        if matches!(header.kind, EntryKind::File { .. }) {
            hasher.update(&fs::read(&file).unwrap());
        }
        cache.insert(path, &header, hasher.finish());
    }
    cache.remove("/gone");
    let nowhere = tempfile::tempdir().unwrap();
    for path in ["/a", "/b/three", "/loop"] {
        assert_eq!(
            digest(&cache, nowhere.path(), &selector(path)).unwrap().to_string(),
            fresh(tree.path(), path)
        );
    }
    assert_eq!(
        fresh(nowhere.path(), "/gone"),
        digest(&cache, nowhere.path(), &selector("/gone")).unwrap_err().to_string()
    );
    digest(&cache, nowhere.path(), &selector("/")).unwrap();
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let tree = sample();
    let cache = ContentCache::default();
    digest(&cache, tree.path(), &selector("/")).unwrap();
    let bytes = cache.to_bytes(None);
    for end in 0..bytes.len() {
        assert!(ContentCache::from_bytes(&bytes[..end], None).is_err());
    }
    let mut seed = 7_u64;
    for _ in 0..2000 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mut damaged = bytes.clone();
        let at = (seed >> 33) as usize % damaged.len();
        damaged[at] ^= (seed >> 20) as u8 | 1;
        let _ = ContentCache::from_bytes(&damaged, None);
    }
}

#[test]
fn hard_links_and_many_files_hash_alike_on_any_number_of_threads() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("x"), "same").unwrap();
    for index in 0..500 {
        fs::hard_link(tree.path().join("x"), tree.path().join(format!("l{index}"))).unwrap();
        fs::write(tree.path().join(format!("f{index}")), "same").unwrap();
    }
    assert_eq!(fresh(tree.path(), "/l7"), fresh(tree.path(), "/f7"));
    assert_eq!(fresh(tree.path(), "/"), fresh(tree.path(), "/"));
}

#[test]
fn scratch_has_a_root_and_nothing_else() {
    assert!(checksum_of_scratch(&[]).is_ok());
    assert_eq!(
        checksum_of_scratch(&[selector("x")]).unwrap_err().to_string(),
        "/x: no such file or directory"
    );
}
