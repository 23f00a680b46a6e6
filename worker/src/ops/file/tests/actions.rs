//! Everything but copies.

use std::fs;
use std::os::unix::fs::symlink as link;

use pb::user_opt::User;

use super::*;

fn with<T>(root: &Path, act: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> T) -> T {
    act(File::open(root).unwrap().as_fd())
}

fn directory(path: &str, parents: bool) -> pb::FileActionMkDir {
    pb::FileActionMkDir {
        path: path.into(),
        mode: 0o751,
        make_parents: parents,
        timestamp: 5_000_000_000,
        ..Default::default()
    }
}

#[test]
fn directories_are_made() {
    let tree = tempfile::tempdir().unwrap();
    let make = |path: &str, parents| {
        with(tree.path(), |root| mkdir(root, &directory(path, parents), None))
            .map_err(|error| error.to_string())
    };
    assert_eq!(make("/a/b", false), Err("mkdir /a/b: no such file or directory".into()));
    make("/a/b/c", true).unwrap();
    make("/a/b/c", true).unwrap();
    make("/a/b", false).unwrap();
    for path in ["a", "a/b", "a/b/c"] {
        let metadata = fs::metadata(tree.path().join(path)).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o751, "{path}");
    }
    assert_eq!(fs::metadata(tree.path().join("a/b/c")).unwrap().mtime(), 5);
    link("/a/dangling", tree.path().join("link")).unwrap();
    make("/link/x", true).unwrap();
    assert!(tree.path().join("a/dangling/x").is_dir());
    write(tree.path(), "file");
    assert_eq!(make("/file/x", true), Err("mkdir /file: not a directory".into()));
    make("/", true).unwrap();
}

#[test]
fn files_are_made_and_written_over() {
    let tree = tempfile::tempdir().unwrap();
    let make = |path: &str, data: &'static str, mode| {
        let action = pb::FileActionMkFile {
            path: path.into(),
            mode,
            data: data.as_bytes().into(),
            timestamp: 1_000_000_007,
            ..Default::default()
        };
        with(tree.path(), |root| mkfile(root, &action, None)).map_err(|error| error.to_string())
    };
    make("/new", "first, long", 0o604).unwrap();
    make("/new", "second", 0o777).unwrap();
    let metadata = fs::metadata(tree.path().join("new")).unwrap();
    assert_eq!(fs::read_to_string(tree.path().join("new")).unwrap(), "second");
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime(), metadata.mtime_nsec()), (0o604, 1, 7));
    assert_eq!(make("/no/parent", "", 0o600), Err("open /no/parent: no such file or directory".into()));
    link("../../../../etc/made-by-test", tree.path().join("out")).unwrap();
    fs::create_dir(tree.path().join("etc")).unwrap();
    make("/out", "inside", 0o600).unwrap();
    assert_eq!(fs::read_to_string(tree.path().join("etc/made-by-test")).unwrap(), "inside");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(make("/pipe", "", 0o600), Err("/pipe is not a regular file".into()));
}

#[test]
fn links_are_made_once() {
    let tree = tempfile::tempdir().unwrap();
    let action = pb::FileActionSymlink {
        oldpath: "/anything".into(),
        newpath: "/l".into(),
        timestamp: -1,
        ..Default::default()
    };
    let make = || with(tree.path(), |root| symlink(root, &action, None)).map_err(|error| error.to_string());
    make().unwrap();
    assert_eq!(list(tree.path()), ["l -> /anything"]);
    // The link leads to a path that is free, so that is where the second one goes.
    make().unwrap();
    assert_eq!(make(), Err("too many links".into()));
}

#[test]
fn paths_are_removed_and_links_not_followed() {
    let tree = tempfile::tempdir().unwrap();
    for file in ["a/b/c", "a/d", "x.o", "y.o", "keep"] {
        write(tree.path(), file);
    }
    link("a", tree.path().join("to-a")).unwrap();
    link("/nowhere", tree.path().join("dangling")).unwrap();
    let remove = |path: &str, wildcard, missing| {
        let action =
            pb::FileActionRm { path: path.into(), allow_wildcard: wildcard, allow_not_found: missing };
        with(tree.path(), |root| rm(root, &action)).map_err(|error| error.to_string())
    };
    remove("/to-a", false, false).unwrap();
    remove("/dangling", false, false).unwrap();
    remove("/*.o", true, false).unwrap();
    remove("/none*", true, false).unwrap();
    assert_eq!(list(tree.path()), ["a/", "a/b/", "a/b/c a/b/c", "a/d a/d", "keep keep"]);
    remove("/a", false, false).unwrap();
    remove("/a", false, true).unwrap();
    remove("/keep/x", false, true).unwrap();
    assert_eq!(remove("/a", false, false), Err("remove /a: no such file or directory".into()));
    assert_eq!(remove("/..", false, false), Err("rmPath: invalid empty path".into()));
    assert_eq!(list(tree.path()), ["keep keep"]);
}

#[test]
fn removing_through_a_link_stays_inside() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "victim");
    let tree = tempfile::tempdir().unwrap();
    link(outside.path(), tree.path().join("out")).unwrap();
    let action = pb::FileActionRm { path: "/out/victim".into(), allow_not_found: true, ..Default::default() };
    with(tree.path(), |root| rm(root, &action)).unwrap();
    assert!(outside.path().join("victim").exists());
}

#[test]
fn owners_are_looked_up_in_the_tree() {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("etc")).unwrap();
    fs::write(
        tree.path().join("etc/passwd"),
        "root:x:0:0::/:\napp:x:1001:1002:::\napp:x:5:5:::\nodd:x:what:\n",
    )
    .unwrap();
    fs::write(tree.path().join("etc/group"), "#web:x:1:\nweb:x:33:a,b\n").unwrap();
    let named = |name: &str| {
        Some(pb::UserOpt { user: Some(User::ByName(pb::NamedUserOpt { name: name.into(), input: 0 })) })
    };
    let numbered = |id| Some(pb::UserOpt { user: Some(User::ById(id)) });
    let ask = |user, group| {
        let wanted = pb::ChownOpt { user, group };
        with(tree.path(), |root| owner(Some(&wanted), Some(root), Some(root))).unwrap().unwrap()
    };
    assert_eq!(ask(named("app"), None), Owner { uid: 1001, gid: 1002 });
    assert_eq!(ask(named("app"), named("web")), Owner { uid: 1001, gid: 33 });
    assert_eq!(ask(numbered(5), None), Owner { uid: 5, gid: 5 });
    assert_eq!(ask(None, numbered(9)), Owner { uid: 0, gid: 9 });
    assert_eq!(ask(named("nobody"), named("nogroup")), Owner { uid: 0, gid: 0 });
    assert_eq!(ask(named("odd"), None), Owner { uid: 0, gid: 0 });
    assert_eq!(owner(None, None, None).unwrap(), None);
    let wanted = pb::ChownOpt { user: named("app"), group: None };
    assert_eq!(owner(Some(&wanted), None, None).unwrap_err().to_string(), "invalid missing user mount");
    fs::remove_file(tree.path().join("etc/passwd")).unwrap();
    link("/dev/zero", tree.path().join("etc/passwd")).unwrap();
    assert_eq!(ask(named("app"), None), Owner { uid: 0, gid: 0 });
    fs::create_dir_all(tree.path().join("dev/zero")).unwrap();
    let error = with(tree.path(), |root| owner(Some(&wanted), Some(root), None)).unwrap_err();
    assert_eq!(error.to_string(), "/etc/passwd is not a regular file");
}
