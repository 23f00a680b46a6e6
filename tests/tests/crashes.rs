//! A daemon that is killed wherever it changes a file loses nothing that was reported done, and serves nothing
//! torn. `cargo xtask crashes` does the same a thousand times; what fails here names its seed.

use slipway_tests::{Daemon, Fake, Project, crashes};

/// In each of the two tests, which run at once.
const KILLS: usize = 30;

#[test]
fn kills_lose_nothing() {
    eprintln!("{:?}", crashes::sweep(20, KILLS));
}

#[test]
fn other_kills_lose_nothing_either() {
    eprintln!("{:?}", crashes::sweep(21, KILLS));
}

#[test]
fn a_root_in_use_is_not_checked() {
    let daemon = Daemon::start();
    daemon.about_root(&["debug", "fsck"]).failed(75, &["in use by another process", "stop it"]);
}

#[test]
fn findings_are_named_one_for_each_line() {
    let (mut daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo one > /one\n");
    daemon.build(&project).succeed();
    daemon.stop();
    daemon.about_root(&["debug", "fsck", "--deep"]).succeeded();
    std::fs::write(daemon.root().join("ingest/left"), "over").expect("a file");
    let found = daemon.about_root(&["debug", "fsck"]).failed(1, &["ERROR: 1 finding in"]);
    assert!(found.stdout().starts_with("blob-leftover: "), "{}", found.told());
    let found = daemon.about_root(&["debug", "fsck", "--json"]).failed(1, &[]);
    let line: serde_json::Value = serde_json::from_str(&found.stdout()).expect("one JSON object");
    assert_eq!(line["kind"], "blob-leftover");
    daemon.start_again();
    daemon.stop();
    daemon.about_root(&["debug", "fsck"]).succeeded();
}
