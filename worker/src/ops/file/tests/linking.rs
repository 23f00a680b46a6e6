//! Links made behind an overlay, seen through it.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags};
use slipway_store::{Active, PrepareOptions, Ref, Store, StoreOptions};

use super::*;

fn read(root: BorrowedFd<'_>, path: &str) -> String {
    let file = rustix::fs::openat(root, path, OFlags::RDONLY, Mode::empty()).unwrap();
    std::io::read_to_string(File::from(file)).unwrap()
}

fn on(store: &Store, parent: Option<&Ref>) -> Active {
    store.prepare(parent, PrepareOptions::default()).unwrap()
}

#[test]
fn links_behind_an_overlay_show_through_it() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(&place.path().join("store"), StoreOptions::default()).unwrap();
    if !store.is_layered() {
        return println!("skipped: overlays cannot be mounted here");
    }
    let base = on(&store, None);
    for path in ["app/kept", "app/replaced", "app/gone", "app/gone-just-now", "app/dir/inside"] {
        write(&base.upper_dir(), path);
    }
    let base = base.commit().unwrap();
    let remove = |active: &Active, path: &str| {
        rustix::fs::unlinkat(active.mount().unwrap().root(), path, AtFlags::empty()).unwrap();
    };
    let without = on(&store, Some(&base));
    remove(&without, "app/gone");
    let without = without.commit().unwrap();

    let source = place.path().join("source");
    let sent = ["replaced", "gone", "gone-just-now", "new", "dir/more", "sub/deep/one"];
    for path in sent {
        write(&source, path);
    }
    let top = on(&store, Some(&without));
    remove(&top, "app/gone-just-now");
    {
        let (source, upper) = (File::open(&source).unwrap(), File::open(top.upper_dir()).unwrap());
        let mounted = top.mount().unwrap();
        let roots = || vec![source.as_fd().try_clone_to_owned().unwrap()];
        let permit = |_: &[u8], _: &[u8]| Some(Layers { roots: roots(), few: true });
        let link = Link::Behind { directory: upper.as_fd(), permit: &permit, begin: &|layer| layer == 0 };
        copy(source.as_fd(), mounted.root(), &action("/", "/app"), None, link).unwrap();
    }
    let top = top.commit().unwrap();

    let tree = top.mount().unwrap();
    for path in sent {
        assert_eq!(read(tree.root(), &format!("app/{path}")), path);
    }
    assert_eq!(read(tree.root(), "app/kept"), "app/kept");
    assert_eq!(read(tree.root(), "app/dir/inside"), "app/dir/inside");
    let inode = |path: std::path::PathBuf| fs::metadata(path).unwrap().ino();
    let is_linked = |path: &str| inode(source.join(path)) == inode(top.upper_dir().join("app").join(path));
    let linked: Vec<_> = sent.into_iter().filter(|path| is_linked(path)).collect();
    // Not where something had to be replaced, nor in a directory that only the layers below have.
    assert_eq!(linked, ["gone", "new", "sub/deep/one"]);
}

#[test]
fn files_of_a_snapshot_are_linked_from_the_layer_that_holds_them() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(&place.path().join("store"), StoreOptions::default()).unwrap();
    if store.snapshotter() != "overlay" {
        return println!("skipped: overlays cannot be mounted here");
    }
    let lower = on(&store, None);
    for path in ["src/lower", "src/changed", "src/dir/lower"] {
        write(&lower.upper_dir(), path);
    }
    let lower = lower.commit().unwrap();
    let upper = on(&store, Some(&lower));
    {
        let mounted = upper.mount().unwrap();
        let open = |path: &str| rustix::fs::openat(mounted.root(), path, OFlags::WRONLY, Mode::empty());
        // Copied up: the kernel may go on to show the number of the file below, which it no longer is.
        rustix::fs::fchmod(open("src/changed").unwrap(), Mode::from_raw_mode(0o600)).unwrap();
    }
    for path in ["src/upper", "src/dir/upper"] {
        write(&upper.upper_dir(), path);
    }
    let upper = upper.commit().unwrap();
    let layers = [upper.upper_dir(), lower.upper_dir()];

    let copied = |few: bool| {
        let top = on(&store, None);
        let source = upper.mount().unwrap();
        let root = File::open(top.upper_dir()).unwrap();
        let roots = || layers.iter().map(|layer| File::open(layer).unwrap().into()).collect();
        let permit = |_: &[u8], _: &[u8]| Some(Layers { roots: roots(), few });
        let linked = std::cell::RefCell::new(Vec::new());
        let begin = |layer| {
            linked.borrow_mut().push(layer);
            true
        };
        let link = Link::Behind { directory: root.as_fd(), permit: &permit, begin: &begin };
        let mounted = top.mount().unwrap();
        copy(source.root(), mounted.root(), &action("/src", "/dst"), None, link).unwrap();
        drop(mounted);
        let mut linked = linked.into_inner();
        linked.sort_unstable();
        (top.commit().unwrap(), linked)
    };
    let inode = |path: std::path::PathBuf| fs::metadata(path).unwrap().ino();
    let (top, linked) = copied(true);
    let from = |layer: &std::path::Path, path: &str| {
        inode(layer.join("src").join(path)) == inode(top.upper_dir().join("dst").join(path))
    };
    assert_eq!(linked, [0, 1], "each is begun once");
    assert!(from(&layers[0], "upper") && from(&layers[0], "dir/upper"));
    assert!(from(&layers[1], "lower") && from(&layers[1], "dir/lower"));
    assert!(!from(&layers[1], "changed"), "it is not what is below any more");
    let changed = fs::metadata(top.upper_dir().join("dst/changed")).unwrap();
    assert_eq!(changed.mode() & 0o777, 0o600);

    let (top, linked) = copied(false);
    assert!(linked.is_empty(), "a few small files are not worth it");
    assert_eq!(fs::metadata(top.upper_dir().join("dst/upper")).unwrap().nlink(), 1);
}
