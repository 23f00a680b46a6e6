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
        let link = Link::Behind { directory: upper.as_fd(), permit: &|_, _| true };
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
