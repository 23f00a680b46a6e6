//! Mistakes in a Dockerfile: the line is shown, and what to do.

use slipway_tests::{Daemon, Fake, Project};

/// Each Dockerfile fails with one message that holds all of the parts.
fn check(cases: &[(&str, &[&str])]) {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    for (dockerfile, parts) in cases {
        let project = Project::new(&fake.busybox(), dockerfile).file("there.txt", "");
        let outcome = daemon.build(&project).run().failed(1, parts);
        assert_eq!(outcome.errors().len(), 1, "{}", outcome.told());
        assert!(outcome.took.as_secs() < 20, "{}", outcome.told());
    }
    daemon.assert_usable();
}

#[test]
fn what_cannot_be_read() {
    check(&[
        (
            "FROM BUSYBOX\nRUM true\n",
            &["Dockerfile:2", ">>> RUM true", "unknown instruction: RUM", "did you mean RUN"],
        ),
        ("", &["Dockerfile", "empty"]),
        ("RUN true\n", &["Dockerfile:1", "no build stage in current context"]),
        ("FROM\n", &["Dockerfile:1", "FROM"]),
        ("FROM BUSYBOX\nCOPY only-one\n", &["Dockerfile:2", "COPY requires at least two arguments"]),
        ("FROM BUSYBOX\nRUN --frob=1 true\n", &["Dockerfile:2", "unknown flag: --frob"]),
        ("FROM BUSYBOX\nRUN <<EOF\necho never closed\n", &["unterminated heredoc"]),
        ("FROM BUSYBOX\nEXPOSE what\n", &["Dockerfile:2", "what"]),
        ("FROM BUSYBOX\nRUN --mount=type=floppy true\n", &["Dockerfile:2", "floppy"]),
        ("FROM BUSYBOX\nENV\n", &["Dockerfile:2", "ENV"]),
    ]);
}

#[test]
fn what_does_not_exist() {
    check(&[
        (
            "FROM BUSYBOX\nCOPY missing.txt /\n",
            &["Dockerfile:2", ">>> COPY missing.txt /", "missing.txt", "not found"],
        ),
        (
            "FROM BUSYBOX AS one\nRUN true\nFROM scratch\nCOPY --from=one /nowhere /\n",
            &["Dockerfile:4", "/nowhere", "not found"],
        ),
        ("FROM BUSYBOX AS builder\nFROM scratch\nCOPY --from=bilder /x /\n", &["bilder"]),
        ("FROM Not/A/Reference!\n", &["Dockerfile:1", "Not/A/Reference!"]),
        ("FROM ${UNSET}\n", &["Dockerfile:1", "UNSET"]),
        ("FROM BUSYBOX\nUSER ghost\nRUN true\n", &["ghost"]),
    ]);
}

#[test]
fn a_dockerfile_that_is_not_there() {
    let daemon = Daemon::start();
    let project = Project::empty().file("dockerfile.txt", "");
    daemon.build(&project).run().failed(1, &["failed to read dockerfile", "Dockerfile"]);
    daemon.assert_usable();
}

#[test]
fn stages_that_need_each_other() {
    check(&[("FROM BUSYBOX AS a\nCOPY --from=b /x /\nFROM BUSYBOX AS b\nCOPY --from=a /x /\n", &["b"])]);
}

#[test]
fn paths_do_not_leave_their_root() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let outside = Project::empty().file("secret.txt", "outside");
    let up = "../".repeat(20);
    let path = outside.join("secret.txt").display().to_string();
    let project = Project::new(&fake.busybox(), &format!("FROM scratch\nCOPY {up}{path} /\n"));
    daemon.build(&project).run().failed(1, &["not found"]);
    // A link in the context or in an image leads nowhere outside of it either.
    std::os::unix::fs::symlink(outside.path(), project.join("link")).unwrap();
    project.write("Dockerfile", "FROM scratch\nCOPY link/secret.txt /\n");
    daemon.build(&project).run().failed(1, &["not found"]);
    let target = outside.path().display();
    project.write(
        "Dockerfile",
        format!("FROM {}\nRUN ln -s {target} /link\nCOPY Dockerfile /link/written\n", fake.busybox()),
    );
    daemon.build(&project).succeed();
    assert!(!outside.join("written").exists());
    daemon.assert_usable();
}
