//! Where things go, and what may not happen on the way.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn targets_are_found_as_cp_finds_them() {
    for (src, dest, contents, expected) in [
        ("/a/one", "/new", true, vec!["new a/one"]),
        ("/a/one", "/new/", true, vec!["new/", "new/one a/one"]),
        ("/a/one", "/x/y/z", true, vec!["x/", "x/y/", "x/y/z a/one"]),
        ("/a", "/new", true, vec!["new/", "new/one a/one"]),
        ("/a", "/new", false, vec!["new/", "new/one a/one"]),
        ("/a", "/new/", false, vec!["new/", "new/a/", "new/a/one a/one"]),
        ("/a", "/", true, vec!["one a/one"]),
        ("/a", "/", false, vec!["a/", "a/one a/one"]),
        ("/a/.", "/", false, vec!["one a/one"]),
        ("/a/one", "/", true, vec!["one a/one"]),
        ("a/one", "relative", true, vec!["relative a/one"]),
        ("/../a/one", "/../../up", true, vec!["up a/one"]),
    ] {
        let (source, target) = folders(&["a/one"]);
        run(
            source.path(),
            target.path(),
            &pb::FileActionCopy { dir_copy_contents: contents, ..action(src, dest) },
        )
        .unwrap();
        assert_eq!(list(target.path()), expected, "{src} to {dest}, contents {contents}");
    }
}

#[test]
fn errors_read_as_their_users_expect() {
    let (source, target) = folders(&["a/one", "d/file"]);
    write(target.path(), "file");
    write(target.path(), "d/file/below");
    let error = |action| run(source.path(), target.path(), &action).unwrap_err().to_string();
    assert_eq!(error(action("/nope", "/")), "lstat /nope: no such file or directory");
    assert_eq!(error(action("/a", "/file")), "cannot copy to non-directory: /file");
    assert_eq!(error(action("/d", "/d")), "cannot replace to directory /d/file with file");
    assert_eq!(error(action("/a/one", "/file/")), "mkdir /file: not a directory");
    let wild = pb::FileActionCopy { allow_wildcard: true, ..action("/*.go", "/") };
    assert_eq!(error(wild.clone()), "/*.go not found");
    run(source.path(), target.path(), &pb::FileActionCopy { allow_empty_wildcard: true, ..wild }).unwrap();
    let no_parent = pb::FileActionCopy { create_dest_path: false, ..action("/a/one", "/x/y") };
    assert_eq!(error(no_parent), "failed to stat /x/y: lstat /x: no such file or directory");
    let mode = pb::FileActionCopy { mode_str: "u+q".into(), ..action("/a", "/m") };
    assert_eq!(error(mode), "invalid mode \"u+q\": invalid syntax");
}

#[test]
fn existing_paths_are_replaced_where_asked() {
    let (source, target) = folders(&["a/x", "a/y/deep"]);
    write(target.path(), "x/in/the/way");
    write(target.path(), "y");
    let replace = pb::FileActionCopy { always_replace_existing_dest_paths: true, ..action("/a", "/") };
    run(source.path(), target.path(), &replace).unwrap();
    assert_eq!(list(target.path()), ["x a/x", "y/", "y/deep a/y/deep"]);
}

/// Every path is resolved inside its tree, whatever links the tree holds.
#[test]
fn hostile_links_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let (source, target) = folders(&["file"]);
    for (link, text) in [
        ("up", "../../../../../../../../../etc".to_owned()),
        ("out", outside.path().display().to_string()),
        ("loop", "loop".to_owned()),
        ("self", ".".to_owned()),
    ] {
        symlink(&text, source.path().join(link)).unwrap();
        symlink(&text, target.path().join(link)).unwrap();
    }
    run(source.path(), target.path(), &action("/file", "/up/")).unwrap();
    assert!(target.path().join("etc/file").is_file());
    run(source.path(), target.path(), &action("/file", "/out/sub/")).unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    let inside = outside.path().strip_prefix("/").unwrap();
    assert!(target.path().join(inside).join("sub/file").is_file());
    assert_eq!(
        run(source.path(), target.path(), &action("/file", "/loop/x")).unwrap_err().to_string(),
        "too many links"
    );
    assert_eq!(
        run(source.path(), target.path(), &action("/loop/x", "/")).unwrap_err().to_string(),
        "too many links"
    );
    assert!(run(source.path(), target.path(), &action("/out/secret", "/")).is_err());
    run(source.path(), target.path(), &action("/self/self/file", "/self/copied")).unwrap();
    assert!(target.path().join("copied").is_file());
    // A link that is copied stays a link, and what it replaces is the link itself.
    symlink(outside.path().join("secret"), target.path().join("file")).unwrap();
    run(source.path(), target.path(), &action("/", "/")).unwrap();
    assert_eq!(fs::read_to_string(target.path().join("file")).unwrap(), "file");
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
}

#[test]
fn a_source_link_is_followed_only_if_asked() {
    let (source, target) = folders(&["a/one"]);
    symlink("a", source.path().join("link")).unwrap();
    run(source.path(), target.path(), &action("/link", "/followed")).unwrap();
    run(
        source.path(),
        target.path(),
        &pb::FileActionCopy { follow_symlink: false, ..action("/link", "/kept") },
    )
    .unwrap();
    run(
        source.path(),
        target.path(),
        &pb::FileActionCopy { follow_symlink: false, ..action("/link/one", "/through") },
    )
    .unwrap();
    assert_eq!(list(target.path()), ["followed/", "followed/one a/one", "kept -> a", "through a/one"]);
}

#[test]
fn a_copy_into_itself_ends() {
    let (source, _) = folders(&["a/one"]);
    run(source.path(), source.path(), &action("/", "/a/b")).unwrap();
    assert_eq!(list(source.path()), ["a/", "a/b/", "a/b/a/", "a/b/a/one a/one", "a/one a/one"]);
}

#[test]
fn owner_mode_and_time_are_set_on_everything() {
    let (source, target) = folders(&["a/b/one", "a/two"]);
    symlink("two", source.path().join("a/link")).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let owner = is_root.then_some(Owner { uid: 7, gid: 8 });
    let changed =
        pb::FileActionCopy { mode: 0o640, timestamp: 1_500_000_000_000_000_001, ..action("/a", "/x/y") };
    run_as(source.path(), target.path(), &changed, owner, true).unwrap();
    for path in ["x", "x/y", "x/y/b", "x/y/b/one", "x/y/two", "x/y/link"] {
        let metadata = fs::symlink_metadata(target.path().join(path)).unwrap();
        if is_root {
            assert_eq!((metadata.uid(), metadata.gid()), (7, 8), "{path}");
        }
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_500_000_000, 1), "{path}");
        if !metadata.is_symlink() {
            assert_eq!(metadata.mode() & 0o7777, 0o640, "{path}");
        }
    }
}

#[test]
fn an_existing_target_keeps_its_mode_and_one_inside_does_not() {
    let (source, target) = folders(&["a/in/one"]);
    for path in ["t", "t/in"] {
        fs::create_dir(target.path().join(path)).unwrap();
        fs::set_permissions(target.path().join(path), fs::Permissions::from_mode(0o711)).unwrap();
    }
    run(source.path(), target.path(), &action("/a", "/t")).unwrap();
    let mode = |path: &str| fs::metadata(target.path().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("t"), mode("t/in")), (0o711, 0o755));
    let times =
        |root: &std::path::Path, path: &str| fs::metadata(root.join(path)).unwrap().modified().unwrap();
    assert_eq!(times(target.path(), "t"), times(source.path(), "a"));
}

#[test]
fn files_are_linked_where_allowed_and_nothing_changes() {
    let (source, target) = folders(&["a/one", "a/two"]);
    let inode = |root: &std::path::Path, path: &str| fs::metadata(root.join(path)).unwrap().ino();
    run_as(source.path(), target.path(), &action("/a", "/linked"), None, true).unwrap();
    run_as(source.path(), target.path(), &action("/a", "/copied"), None, false).unwrap();
    let changed = pb::FileActionCopy { mode: 0o600, ..action("/a", "/changed") };
    run_as(source.path(), target.path(), &changed, None, true).unwrap();
    assert_eq!(inode(target.path(), "linked/one"), inode(source.path(), "a/one"));
    assert_ne!(inode(target.path(), "copied/one"), inode(source.path(), "a/one"));
    assert_ne!(inode(target.path(), "changed/one"), inode(source.path(), "a/one"));
    assert_eq!(fs::metadata(source.path().join("a/one")).unwrap().mode() & 0o7777, 0o644);
}
