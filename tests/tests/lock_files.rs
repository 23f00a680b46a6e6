//! `--lock FILE` and `--locked`: what sources come to is written down, and compared.

use serde_json::Value;
use slipway_model::Platform;
use slipway_tests::git::{GitDaemon, Repository};
use slipway_tests::web::{Answer, Web};
use slipway_tests::{Build, Daemon, Fake, Project, needs};

fn put(fake: &Fake, text: &str) -> String {
    let files: &[&[(&str, &[u8])]] = &[&[("name", text.as_bytes())]];
    fake.put_image("base", "1", &Platform::host(), files).expect("an image").manifest.to_string()
}

fn lock(daemon: &Daemon, project: &Project) -> Build {
    daemon.build(project).arg("--lock").arg(project.join("x.lock"))
}

fn sources(project: &Project) -> Value {
    let lock: Value = serde_json::from_str(&project.read("x.lock")).expect("JSON");
    assert_eq!(lock["version"], 1);
    lock["sources"].clone()
}

#[test]
fn every_source_is_written_down() {
    needs!("git");
    let (fake, daemon, repository) =
        (Fake::start(slipway_fakes::Options::default()), Daemon::start(), Repository::new());
    let digest = put(&fake, "one");
    let commit = repository.commit(&[("a", "one")]);
    repository.git(&["tag", "--annotate", "--message=tag", "v1"]);
    let (server, web) = (GitDaemon::start(repository.path()), Web::start(|_| Answer::of(200, "hello")));
    let (image, git, url) = (fake.image("base:1"), server.url("/.git"), web.url("/x"));
    let dockerfile = format!("FROM {image}\nADD {git}#v1 /\nADD {url} /\nCOPY Dockerfile /\n");
    let project = Project::new("", &dockerfile);
    let refused = daemon.build(&project).args(["--locked"]).run();
    refused.failed(2, &["--lock"]);
    lock(&daemon, &project).arg("--locked").run().failed(125, &["x.lock"]);
    lock(&daemon, &project).succeed();
    let hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let expected = serde_json::json!({
        format!("docker-image://{image}"): digest,
        format!("{git}#v1"): commit,
        url.clone(): hello,
    });
    assert_eq!(sources(&project), expected);
    let asked = web.asked().len();
    assert_eq!(asked, 1, "who looks at a source fetches it with the same request");

    // Another target leaves the lines of the first.
    project.write("Dockerfile", format!("FROM {image}\n"));
    lock(&daemon, &project).succeed();
    assert_eq!(sources(&project), expected);
    let again = lock(&daemon, &project).arg("--locked").succeed();
    assert!(!again.stderr.contains("ERROR"), "{}", again.stderr);
    daemon.assert_idle();
}

#[test]
fn what_has_changed_is_one_clear_error() {
    needs!("git");
    let (fake, daemon, repository) =
        (Fake::start(slipway_fakes::Options::default()), Daemon::start(), Repository::new());
    let old = put(&fake, "one");
    let first = repository.commit(&[("a", "one")]);
    let text = std::sync::Arc::new(parking_lot::Mutex::new("hello"));
    let said = text.clone();
    let web = Web::start(move |_| Answer::of(200, *said.lock()));
    let server = GitDaemon::start(repository.path());
    let (image, git, url) = (fake.image("base:1"), server.url("/.git"), web.url("/x"));
    let cases = [
        (format!("FROM {image}\n"), format!("docker-image://{image}")),
        (format!("FROM scratch\nADD {git}#main /\n"), format!("{git}#main")),
        (format!("FROM scratch\nADD {url} /\n"), url),
    ];
    let projects = cases.map(|(dockerfile, name)| (Project::new("", &dockerfile), name));
    for (project, _) in &projects {
        lock(&daemon, project).succeed();
        lock(&daemon, project).arg("--locked").succeed();
    }
    let new = put(&fake, "two");
    let second = repository.commit(&[("a", "two")]);
    *text.lock() = "other";
    let values = [(old, new), (first, second), ("sha256:2cf24dba".into(), "sha256:d9298a10".into())];
    for ((project, name), (locked, found)) in projects.iter().zip(&values) {
        let before = project.read("x.lock");
        let refused = lock(&daemon, project).arg("--locked").run();
        let expected =
            ["x.lock", name, &format!("locked to {locked}"), &format!("found {found}"), "without --locked"];
        let refused = refused.failed(1, &expected);
        assert_eq!(refused.errors().len(), 1, "{}", refused.stderr);
        assert_eq!(project.read("x.lock"), before, "a lock that is only compared is not written");
        // Without the flag the new value is accepted.
        lock(&daemon, project).succeed();
        assert!(project.read("x.lock").contains(found.as_str()));
        lock(&daemon, project).arg("--locked").succeed();
    }
    daemon.assert_idle();
}

#[test]
fn what_is_not_listed_is_an_error() {
    let (fake, daemon) = (Fake::start(slipway_fakes::Options::default()), Daemon::start());
    let digest = put(&fake, "one");
    let image = fake.image("base:1");
    let project = Project::new("", &format!("FROM {image}\nCOPY Dockerfile /\n"));
    project.write("x.lock", r#"{"version": 1, "sources": {}}"#);
    let name = format!("docker-image://{image}");
    lock(&daemon, &project)
        .arg("--locked")
        .run()
        .failed(1, &[&name, "is not listed", &digest, "without --locked"]);
    // A context and a stage are not sources from elsewhere.
    project.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    lock(&daemon, &project).arg("--locked").succeed();
    for broken in ["", "{}", r#"{"version": 7, "sources": {}}"#] {
        project.write("x.lock", broken);
        lock(&daemon, &project).run().failed(125, &["x.lock"]);
    }
}

#[test]
fn a_lock_and_no_network() {
    let (fake, daemon) = (Fake::start(slipway_fakes::Options::default()), Daemon::start());
    put(&fake, "one");
    let project = Project::new(&fake.image("base:1"), "FROM BUSYBOX\nCOPY source /\n").file("source", "one");
    lock(&daemon, &project).succeed();
    drop(fake);
    project.write("source", "two");
    let out = Project::empty();
    lock(&daemon, &project).arg("--locked").to(out.path()).succeed();
    assert_eq!(out.read("source"), "two");
}
