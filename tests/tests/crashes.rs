//! A daemon that is killed wherever it changes a file loses nothing that was reported done, and serves nothing
//! torn. `cargo xtask crashes` does the same a thousand times; what fails here names its seed.
#![expect(clippy::print_stdout, reason = "what was swept is of interest to a person")]

use slipway_tests::{Daemon, Fake, Project, crashes};

/// In each of the two tests, which run at once: `SLIPWAY_KILLS`, or a few; and where to begin, `SLIPWAY_SEED`.
const KILLS: u64 = 30;

fn sweep(which: u64) {
    let asked = |name, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (seed, kills) = (asked("SLIPWAY_SEED", 20) + which, asked("SLIPWAY_KILLS", KILLS));
    let swept = crashes::sweep(seed, usize::try_from(kills).unwrap_or(usize::MAX));
    println!("seed {seed}: {swept:?}");
}

#[test]
fn kills_lose_nothing() {
    sweep(0);
}

#[test]
fn other_kills_lose_nothing_either() {
    sweep(1);
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
