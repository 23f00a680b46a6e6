//! `slipway du` and `slipway prune`.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use slipway_tests::{Daemon, Fake, Project};

#[test]
fn an_empty_cache_holds_nothing() {
    let daemon = Daemon::start();
    let said = daemon.client(&["du"]).succeeded().stdout();
    assert!(said.contains("Total:\t\t0B"), "{said}");
    assert_eq!(daemon.client(&["du", "--json"]).succeeded().stdout(), "");
    let pruned = daemon.client(&["prune", "--all", "--force"]).succeeded().stdout();
    assert!(pruned.contains("Total:\t0B"), "{pruned}");
}

#[test]
fn filters_and_sizes_are_checked() {
    let daemon = Daemon::start();
    daemon.client(&["du", "--filter", "type=="]).failed(1, &["type==", "a value is missing"]);
    daemon.client(&["prune", "-f", "--filter", "type~=("]).failed(1, &["type~=("]);
    daemon.client(&["prune", "-f", "--reserved-space", "much"]).failed(125, &["much", "10GB"]);
    daemon.client(&["prune", "-f", "--keep-duration", "ages"]).failed(125, &["ages", "24h"]);
    daemon.assert_usable();
}

#[test]
fn what_is_shown_is_what_pruning_frees() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN dd if=/dev/zero of=/a bs=1M count=3\nRUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/b bs=1M count=2\n",
    );
    daemon.build(&project).succeed();
    let records = usage(&daemon, &[]);
    let of_type = |kind: &str| records.iter().filter(|record| record["type"] == kind).count();
    assert_eq!(of_type("exec.cachemount"), 1, "{records:#?}");
    assert!(of_type("regular") >= 2, "{records:#?}");
    let size = |record: &serde_json::Value| record["size"].as_u64().unwrap();
    assert!(records.iter().any(|record| (3 << 20..4 << 20).contains(&size(record))), "{records:#?}");
    let before: u64 = records.iter().map(size).sum();
    assert!(before >= 6 << 20, "{before}");

    daemon.client(&["prune", "--force", "--all", "--filter", "type=exec.cachemount"]).succeeded();
    let left = usage(&daemon, &[]);
    assert!(left.iter().all(|record| record["type"] != "exec.cachemount"), "{left:#?}");
    assert!(!left.is_empty());
    daemon.client(&["prune", "--force", "--all"]).succeeded();
    assert_eq!(usage(&daemon, &[]), Vec::<serde_json::Value>::new());

    let again = daemon.build(&project).succeed().progress();
    assert_eq!(again.ran().len(), 2, "{again:#?}");
    assert_eq!(usage(&daemon, &["--filter", "type=exec.cachemount"]).len(), 1);
}

fn usage(daemon: &Daemon, arguments: &[&str]) -> Vec<serde_json::Value> {
    let said = daemon.client(&[&["du", "--json"], arguments].concat()).succeeded().stdout();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
