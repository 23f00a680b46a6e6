//! Where a build's files come from.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use slipway_tests::{Daemon, Fake, Project, archive, eventually};

const LIST: &str = "FROM BUSYBOX AS a\nCOPY . /c/\nRUN cd /c && find . -type f | sort > /list\nFROM scratch\nCOPY --from=a /list /\n";

#[test]
fn ignored_files_are_not_sent() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project =
        Project::new(&fake.busybox(), LIST).file("a.txt", "").file("b.log", "").file("keep.log", "");
    let project = project.file("deep/c.log", "").file("deep/d.txt", "").file("node_modules/x/y.js", "");
    project.write(".dockerignore", "# logs\n**/*.log\n!keep.log\nnode_modules\nDockerfile\n.dockerignore\n");
    let out = Project::empty();
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!(out.read("list"), "./a.txt\n./deep/d.txt\n./keep.log\n");

    project.write("Dockerfile.dockerignore", "*\n!a.txt\n");
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!(out.read("list"), "./a.txt\n", "the Dockerfile's own list wins");
}

/// What is known of a client's files is written down once, and again when it is not true any more.
#[test]
fn an_unchanged_context_is_not_written_again() {
    let (mut daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), LIST).file("a.txt", "").file("deep/b.txt", "");
    let out = Project::empty();
    let kept = |daemon: &Daemon| {
        let places = fs::read_dir(daemon.root().join("snapshots/overlay")).expect("snapshots");
        let places = places.map(|place| place.expect("a snapshot").path().join("fs"));
        let contexts = places.filter(|place| place.join("files/a.txt").exists());
        let known = contexts.flat_map(|place| ["index", "digests", "links"].map(|name| place.join(name)));
        let written = known.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)));
        written.collect::<BTreeSet<_>>()
    };
    daemon.build(&project).to(out.path()).succeed();
    // All is there when the build is done with it.
    assert!(eventually(Duration::from_secs(10), || kept(&daemon).len() == 3), "{:?}", kept(&daemon));
    let before = kept(&daemon);
    daemon.build(&project).to(out.path()).succeed();
    daemon.kill();
    daemon.start_again();
    daemon.build(&project).to(out.path()).succeed();
    let after = kept(&daemon);
    assert!(after.is_superset(&before), "{before:?}, then {after:?}");

    let project = project.file("deep/b.txt", "changed").file("c.txt", "");
    daemon.build(&project).to(out.path()).succeed();
    assert!(!kept(&daemon).is_superset(&before), "{before:?}");
    assert_eq!(out.read("list"), "./Dockerfile\n./a.txt\n./c.txt\n./deep/b.txt\n");
}

#[test]
fn the_dockerfile_may_be_elsewhere() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::empty().file("a.txt", "");
    let elsewhere = Project::empty().file("My.Dockerfile", LIST.replace("BUSYBOX", &fake.busybox()));
    let out = Project::empty();
    daemon.build(&project).arg("-f").arg(elsewhere.join("My.Dockerfile")).to(out.path()).succeed();
    assert_eq!(out.read("list"), "./a.txt\n");
}

#[test]
fn the_dockerfile_may_come_from_standard_input() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let dockerfile = LIST.replace("BUSYBOX", &fake.busybox());
    let (project, out) = (Project::empty().file("a.txt", ""), Project::empty());
    daemon.build(&project).args(["-f", "-"]).input(dockerfile.clone()).to(out.path()).succeed();
    assert_eq!(out.read("list"), "./a.txt\n");
    // Without a context: nothing to copy, but all else works.
    let alone = format!("FROM {}\nRUN echo alone > /alone\n", fake.busybox());
    daemon.build(&project).context("-").input(alone).to(out.path()).succeed();
    assert_eq!(out.read("alone"), "alone\n");
}

#[test]
fn the_context_may_come_from_standard_input() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), LIST).file("deep/a.txt", "");
    project.write("other.Dockerfile", "FROM scratch\nCOPY deep/ /other/\n");
    let tar = archive::of_folder(project.path());
    let out = Project::empty();
    daemon.build(&project).context("-").input(tar.clone()).to(out.path()).succeed();
    assert_eq!(out.read("list"), "./Dockerfile\n./deep/a.txt\n./other.Dockerfile\n");
    let build = daemon.build(&project).context("-").args(["-f", "other.Dockerfile"]).input(tar);
    build.to(out.path()).succeed();
    assert!(out.join("other/a.txt").exists());
}

#[test]
fn other_folders_and_images_have_names() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM base AS a\nCOPY --from=more x /x\nRUN --mount=from=more,target=/m cat /m/x /x > /out\nFROM scratch\nCOPY --from=a /out /\n",
    );
    let more = Project::empty().file("x", "more\n");
    let out = Project::empty();
    let build = daemon.build(&project).arg("--build-context").arg(format!("more={}", more.path().display()));
    let build = build.arg("--build-context").arg(format!("base=docker-image://{}", fake.busybox()));
    build.to(out.path()).succeed();
    assert_eq!(out.read("out"), "more\nmore\n");
}

#[test]
fn a_changed_file_runs_only_what_uses_it() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project =
        Project::new(&fake.busybox(), "FROM BUSYBOX\nCOPY a /a\nRUN cat /a\nCOPY b /b\nRUN cat /b\n")
            .file("a", "1")
            .file("b", "1");
    daemon.build(&project).succeed();
    project.write("b", "2");
    let edited = daemon.build(&project).succeed().progress();
    assert_eq!(edited.ran().len(), 2, "{edited:#?}");
    assert!(edited.ran().iter().all(|step| step.contains("/b")), "{edited:#?}");
    project.write("b", "1");
    assert_eq!(daemon.build(&project).succeed().progress().ran(), Vec::<&str>::new(), "back to what it was");
    project.write("unused", "1");
    assert_eq!(daemon.build(&project).succeed().progress().ran(), Vec::<&str>::new(), "nobody copies it");
}

#[test]
fn odd_names_and_kinds_travel() {
    use std::os::unix::fs::symlink;
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM scratch\nCOPY odd/ /\n")
        .file("odd/with space", "1")
        .file("odd/ünïcode", "2");
    let project = project.file("odd/.hidden", "3").file("odd/empty/deep/.keep", "");
    symlink("/etc/passwd", project.join("odd/outside")).unwrap();
    symlink("nowhere", project.join("odd/dangling")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(project.join("odd/socket")).unwrap();
    let out = Project::empty();
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!(
        (out.read("with space"), out.read("ünïcode"), out.read(".hidden")),
        ("1".into(), "2".into(), "3".into())
    );
    assert_eq!(std::fs::read_link(out.join("outside")).unwrap().to_str(), Some("/etc/passwd"));
    assert_eq!(std::fs::read_link(out.join("dangling")).unwrap().to_str(), Some("nowhere"));
    assert!(out.join("empty/deep/.keep").exists());
}
