//! Git repositories as contexts and in `ADD`.

use std::sync::Arc;

use slipway_tests::git::{GitDaemon, Repository};
use slipway_tests::web::{Answer, Web};
use slipway_tests::{Daemon, Project, needs};

fn add(url: &str, options: &str) -> Project {
    Project::new("", &format!("FROM scratch\nADD {options} {url} /\n"))
}

#[test]
fn branches_tags_commits_and_folders() {
    needs!("git");
    let (daemon, repository) = (Daemon::start(), Repository::new());
    let first = repository.commit(&[("a", "one"), ("folder/inner/b", "below"), ("x.sh", "#!")]);
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "--annotate", "--message=tag", "v1"]);
    repository.git(&["branch", "side"]);
    let second = repository.commit(&[("a", "two")]);
    let server = GitDaemon::start(repository.path());
    let url = server.url("/.git");
    for (fragment, expected) in [
        ("", "two"),
        ("#main", "two"),
        ("#side", "one"),
        ("#light", "one"),
        ("#v1", "one"),
        ("#refs/tags/v1", "one"),
        (format!("#{second}").as_str(), "two"),
        (format!("#{first}").as_str(), "one"),
    ] {
        let out = Project::empty();
        daemon.build(&add(&format!("{url}{fragment}"), "")).to(out.path()).succeed();
        assert_eq!(out.read("a"), expected, "{fragment}");
        assert!(!out.join(".git").exists());
    }
    let out = Project::empty();
    daemon.build(&add(&format!("{url}#v1:folder"), "")).to(out.path()).succeed();
    assert_eq!(out.read("inner/b"), "below");
    assert!(!out.join("a").exists());
    daemon.assert_idle();
}

#[test]
fn what_is_not_there_is_told() {
    needs!("git");
    let (daemon, repository) = (Daemon::start(), Repository::new());
    let commit = repository.commit(&[("a", "one"), ("folder/b", "")]);
    std::os::unix::fs::symlink("/", repository.path().join("out")).unwrap();
    std::os::unix::fs::symlink("folder", repository.path().join("link")).unwrap();
    repository.commit(&[]);
    let server = GitDaemon::start(repository.path());
    let url = server.url("/.git");
    for (fragment, options, expected) in [
        ("#nowhere", "", "repository does not contain ref nowhere"),
        ("#main:nowhere", "", "nowhere"),
        ("#main:a", "", "contains non-directory"),
        ("#main:out/etc", "", "out/etc"),
        ("#main:link", "", "contains non-directory"),
        ("#main", &format!("--checksum={commit}"), "expected checksum to match"),
        ("#1111111111111111111111111111111111111111", "", "1111111111111111111111111111111111111111"),
    ] {
        daemon.build(&add(&format!("{url}{fragment}"), options)).run().failed(1, &[expected]);
    }
    daemon
        .build(&add(&server.url("/absent.git"), ""))
        .run()
        .failed(1, &["failed to fetch remote", "absent.git"]);
    daemon.assert_usable();
}

#[test]
fn a_repository_is_a_context_and_is_fetched_once() {
    needs!("git");
    let (mut daemon, repository, out) = (Daemon::start(), Repository::new(), Project::empty());
    repository.commit(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "one")]);
    repository.git(&["update-server-info"]);
    // The plainest of servers: it hands out files.
    let (web, repository) = {
        let repository = std::sync::Arc::new(repository);
        let served = repository.clone();
        (Web::start(move |asked| served.answer("r", asked)), repository)
    };
    let build = |daemon: &Daemon| {
        daemon.build(&out).context(web.url("/r.git")).to(&out.join("made")).succeed();
        out.read("made/a")
    };
    assert_eq!(build(&daemon), "one");
    let objects = || web.asked().iter().filter(|asked| asked.target.contains("/objects/")).count();
    let fetched = objects();
    daemon.stop();
    daemon.start_again();
    assert_eq!(build(&daemon), "one");
    assert_eq!(objects(), fetched, "a known commit is not fetched again");
    repository.commit(&[("a", "two")]);
    repository.git(&["update-server-info"]);
    assert_eq!(build(&daemon), "two");
    daemon.assert_idle();
}

#[test]
fn the_kept_git_dir_knows_its_commit() {
    needs!("git");
    let (daemon, repository, out) = (Daemon::start(), Repository::new(), Project::empty());
    repository.commit(&[("a", "one")]);
    let commit = repository.commit(&[("a", "two")]);
    let server = GitDaemon::start(repository.path());
    daemon.build(&add(&server.url("/.git#main"), "--keep-git-dir=true")).to(out.path()).succeed();
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "safe.directory=*", "-C"]).arg(out.path()).args(arguments);
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(git(&["rev-parse", "HEAD"]), commit);
    assert_eq!(git(&["rev-parse", "refs/heads/main"]), commit);
    assert_eq!(git(&["log", "--format=%s"]).lines().count(), 1, "it is shallow");
    assert_eq!(git(&["remote", "get-url", "origin"]), server.url("/.git"));
    assert_eq!(git(&["status", "--porcelain"]), "");
}

#[test]
fn submodules_come_along_unless_they_lead_to_this_host() {
    needs!("git");
    let (daemon, outer, inner) = (Daemon::start(), Repository::new(), Repository::new());
    inner.commit(&[("b", "inner")]);
    let servers = (GitDaemon::start(outer.path()), GitDaemon::start(inner.path()));
    outer.commit(&[("folder/a", "outer")]);
    outer.git(&["submodule", "--quiet", "add", &servers.1.url("/.git"), "folder/sub"]);
    outer.commit(&[]);
    let url = servers.0.url("/.git");
    let out = Project::empty();
    daemon.build(&add(&url, "")).to(&out.join("all")).succeed();
    assert_eq!(out.read("all/folder/sub/b"), "inner");
    assert!(!out.join("all/folder/sub/.git").exists(), "it would lead to a path of the daemon's host");
    daemon.build(&add(&format!("{url}#main:folder"), "")).to(&out.join("folder")).succeed();
    assert_eq!(out.read("folder/sub/b"), "inner");
    daemon.build(&add(&url, "--keep-git-dir=true")).to(&out.join("kept")).succeed();
    assert_eq!(out.read("kept/folder/sub/b"), "inner");

    let local =
        format!("[submodule \"folder/sub\"]\n\tpath = folder/sub\n\turl = {}\n", inner.path().display());
    outer.commit(&[(".gitmodules", &local)]);
    daemon.build(&add(&url, "")).run().failed(1, &["failed to update submodules"]);
    daemon.assert_usable();
}

#[test]
fn submodules_of_a_server_of_files_come_along() {
    needs!("git");
    let (daemon, out) = (Daemon::start(), Project::empty());
    let (outer, inner) = (Arc::new(Repository::new()), Arc::new(Repository::new()));
    inner.commit(&[("b", "inner")]);
    inner.git(&["update-server-info"]);
    let served = (outer.clone(), inner.clone());
    let web = Web::start(move |asked| match asked.target.starts_with("/inner") {
        true => served.1.answer("inner", asked),
        false => served.0.answer("outer", asked),
    });
    outer.git(&["submodule", "--quiet", "add", &web.url("/inner.git"), "sub"]);
    outer.commit(&[("a", "outer")]);
    outer.git(&["update-server-info"]);
    daemon.build(&add(&web.url("/outer.git"), "")).to(out.path()).succeed();
    assert_eq!((out.read("a"), out.read("sub/b")), ("outer".into(), "inner".into()));
}

#[test]
fn a_token_is_for_its_remote_and_is_kept_nowhere() {
    needs!("git");
    let (daemon, repository) = (Daemon::start(), Repository::new());
    repository.commit(&[("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "one")]);
    repository.git(&["update-server-info"]);
    let web = Web::start(move |asked| match asked.header("authorization") {
        // x-access-token:very-secret-word
        Some("basic eC1hY2Nlc3MtdG9rZW46dmVyeS1zZWNyZXQtd29yZA==") => repository.answer("r", asked),
        _ => Answer::of(401, "who is it?").header("WWW-Authenticate", "Basic realm=r"),
    });
    let (project, url) = (Project::empty(), web.url("/r.git"));
    daemon.build(&project).context(&url).run().failed(1, &["failed to fetch remote"]);
    let build = daemon.build(&project).context(&url).env("T", "very-secret-word");
    let outcome = build.args(["--secret", "id=GIT_AUTH_TOKEN,env=T"]).succeed();
    for word in ["very-secret-word", "dmVyeS1zZWNyZXQtd29yZA"] {
        assert!(!outcome.stderr.contains(word) && !daemon.log().contains(word));
        let found = std::process::Command::new("grep").args(["-rl", word]).arg(daemon.root()).output();
        assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "", "{word} is on disk");
    }
    daemon.assert_idle();
}
