//! The network is gone: what was resolved before still builds, and who insists on asking is told.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use slipway_model::Platform;
use slipway_tests::git::{GitDaemon, Repository};
use slipway_tests::web::{Answer, Web};
use slipway_tests::{Daemon, Fake, Project, Registry, needs};

#[test]
fn a_registry_that_is_gone_is_not_missed() {
    needs!("busybox", "docker-registry", "skopeo");
    let (mut daemon, folder) = (Daemon::start(), Project::empty());
    let registry = Registry::start(&folder.join("registry")).expect("a registry");
    let base = registry.add_busybox();
    let project = Project::new(&base, "FROM BUSYBOX\nCOPY source /\nRUN cat /source > /made\n");
    project.write("source", "one");
    let out = folder.join("out");
    daemon.build(&project).to(&out).succeed();
    drop(registry);
    for again in ["the same daemon", "another one"] {
        // Nothing has changed; then a source has.
        let unchanged = daemon.build(&project).to(&out).succeed();
        assert!(unchanged.stderr.contains("is used as it was pulled last"), "{again}: {}", unchanged.stderr);
        project.write("source", again);
        daemon.build(&project).to(&out).succeed();
        assert_eq!(folder.read("out/made"), again);
        daemon.stop();
        daemon.start_again();
    }
    // Two ways to insist: the flag, and a name that was never asked for.
    let refused = daemon.build(&project).arg("--pull").run();
    let refused = refused.failed(1, &["cannot reach", &base, "check the name and the network"]);
    assert_eq!(refused.errors().len(), 1, "{}", refused.stderr);
    let unknown = base.replace("latest", "other");
    daemon.build(&Project::new(&unknown, "FROM BUSYBOX\n")).run().failed(1, &["cannot reach", &unknown]);
    daemon.assert_idle();
}

#[test]
fn local_mode_asks_nobody() {
    let (fake, daemon) = (Fake::start(slipway_fakes::Options::default()), Daemon::start());
    let put = |text: &str| {
        fake.put_image("base", "1", &Platform::host(), &[&[("name", text.as_bytes())]]).expect("an image");
    };
    put("one");
    let project = Project::new(&fake.image("base:1"), "FROM BUSYBOX\n");
    let (out, build) = (Project::empty(), |mode: &[&str]| daemon.build(&project).args(mode));
    build(&["--pull=missing"]).to(out.path()).succeed();
    put("two");
    fake.clear_log();
    build(&["--pull=missing"]).to(out.path()).succeed();
    assert_eq!(out.read("name"), "one");
    assert_eq!(fake.log().len(), 0, "what is here is not asked for");
    build(&[]).to(out.path()).succeed();
    assert_eq!(out.read("name"), "two", "by default the registry has the word");
    put("three");
    build(&["--pull"]).to(out.path()).succeed();
    assert_eq!(out.read("name"), "three");
    build(&["--pull=sometimes"]).run().failed(2, &["sometimes"]);
}

#[test]
fn a_git_server_that_is_gone_is_not_missed() {
    needs!("git");
    let (mut daemon, repository, out) = (Daemon::start(), Repository::new(), Project::empty());
    repository.commit(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "one")]);
    repository.git(&["tag", "--annotate", "--message=tag", "v1"]);
    let server = GitDaemon::start(repository.path());
    let url = server.url("/.git");
    let added = Project::new("", &format!("FROM scratch\nADD {url}#v1 /\nCOPY source /\n"));
    added.write("source", "one");
    daemon.build(&out).context(url.clone()).to(&out.join("context")).succeed();
    daemon.build(&added).to(&out.join("added")).succeed();
    drop(server);
    daemon.stop();
    daemon.start_again();
    let unchanged = daemon.build(&out).context(url.clone()).to(&out.join("context")).succeed();
    assert!(unchanged.stderr.contains("is used as it was seen last"), "{}", unchanged.stderr);
    added.write("source", "two");
    daemon.build(&added).to(&out.join("added")).succeed();
    assert_eq!((out.read("added/a"), out.read("added/source")), ("one".into(), "two".into()));
    daemon.build(&added).arg("--pull").run().failed(1, &["failed to fetch remote", &url]);
    let unknown = Project::new("", &format!("FROM scratch\nADD {url}#other /\n"));
    daemon.build(&unknown).run().failed(1, &["failed to fetch remote", &url]);
    daemon.assert_idle();
}

#[test]
fn a_web_server_that_is_gone_is_not_missed() {
    let (mut daemon, out) = (Daemon::start(), Project::empty());
    let web = Web::start(|_| Answer::of(200, "hello").header("ETag", "\"one\""));
    let (url, unknown) = (web.url("/x"), web.url("/y"));
    let project = Project::new("", &format!("FROM scratch\nADD {url} /\nCOPY source /\n"));
    project.write("source", "one");
    daemon.build(&project).to(out.path()).succeed();
    drop(web);
    daemon.stop();
    daemon.start_again();
    let unchanged = daemon.build(&project).to(out.path()).succeed();
    assert!(unchanged.stderr.contains("is used as it was downloaded last"), "{}", unchanged.stderr);
    project.write("source", "two");
    daemon.build(&project).to(out.path()).succeed();
    assert_eq!((out.read("x"), out.read("source")), ("hello".into(), "two".into()));
    daemon.build(&project).arg("--pull").run().failed(1, &["cannot download", &url]);
    let unknown = Project::new("", &format!("FROM scratch\nADD {unknown} /\n"));
    daemon.build(&unknown).run().failed(1, &["cannot download"]);
    daemon.assert_idle();
}

#[test]
fn a_server_that_has_another_opinion_is_believed() {
    let (daemon, out) = (Daemon::start(), Project::empty());
    let status = Arc::new(AtomicU16::new(200));
    let now = status.clone();
    let web = Web::start(move |_| Answer::of(now.load(Relaxed), "hello"));
    let project = Project::new("", &format!("FROM scratch\nADD {} /\n", web.url("/x")));
    daemon.build(&project).to(out.path()).succeed();
    status.store(503, Relaxed);
    let unchanged = daemon.build(&project).to(out.path()).succeed();
    assert!(unchanged.stderr.contains("is used as it was downloaded last"), "{}", unchanged.stderr);
    status.store(404, Relaxed);
    daemon.build(&project).run().failed(1, &["invalid response status 404"]);
}

#[test]
fn a_frontend_whose_registry_is_gone_is_not_missed() {
    needs!("busybox", "docker-registry", "skopeo");
    let (daemon, folder) = (Daemon::start(), Project::empty());
    let registry = Registry::start(&folder.join("registry")).expect("a registry");
    registry.add_busybox();
    let image = registry.image("front:1");
    push_frontend(&daemon, &image);
    let ask =
        |image: &str| daemon.build(&Project::new("", &format!("# syntax={image}\nFROM scratch\n"))).run();
    // It runs, and says that it is no frontend.
    let answered = "closed its connection";
    ask(&image).failed(1, &[answered]);
    let unknown = registry.image("front:2");
    drop(registry);
    ask(&image).failed(1, &[answered]);
    ask(&unknown).failed(1, &["cannot load the frontend image", &unknown, "cannot reach"]);
    daemon.assert_idle();
}

/// An image whose entrypoint ends the conversation at once.
fn push_frontend(daemon: &Daemon, image: &str) {
    let base = image.replace("front:1", "busybox:latest");
    let project =
        Project::new(&base, "FROM BUSYBOX\nENTRYPOINT [\"/bin/sh\", \"-c\", \"exec >&-; sleep 1000\"]\n");
    daemon.build(&project).args(["--push", "-t", image]).succeed();
}
