//! The build cache stays within its limits by itself, and is told as it is on the disk.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use slipway_tests::{Daemon, DaemonOptions, Fake, Project, Running, eventually, needs};

/// Longer than it takes until a collection begins and ends.
const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn the_cap_holds_at_rest_and_names_do_not_keep_images() {
    let cap = 40_000_000;
    let daemon = Daemon::start_with(DaemonOptions::arguments(&["--oci-worker-gc-keepstorage", "0,0,40"]));
    let project = Project::empty();
    for number in 0..8_u8 {
        // Half of it is a layer blob, which a name keeps.
        project.write("file", noise(number));
        project.write("Dockerfile", "FROM scratch\nCOPY file /\n");
        daemon.build(&project).tag(&format!("example.com/app:{number}")).succeed();
    }
    assert!(eventually(PATIENCE, || total(&daemon) <= cap), "{} bytes stay", total(&daemon));
    let on_disk = du(&daemon.root().join("snapshots")) + du(&daemon.root().join("blobs"));
    assert!(on_disk <= cap + cap / 50, "{on_disk} bytes are on the disk");
    let left = usage(&daemon, &[]);
    assert!(left.iter().any(|record| record["shared"] == true), "{left:#?}");
    assert!(total(&daemon) > 4_000_000, "all went");
    assert!(daemon.log().contains("garbage collected"), "{}", daemon.log());
    // The last is still there whole.
    let again = daemon.build(&project).succeed().progress();
    assert_eq!(again.ran().len(), 0, "{again:#?}");
}

/// Four megabytes that do not compress.
fn noise(seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..500_000).flat_map(|_| next()).collect()
}

#[test]
fn what_builds_need_is_not_taken() {
    // Everything that nobody uses goes, all the time.
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("slipway.toml");
    std::fs::write(&config, "[[worker.oci.gcpolicy]]\nall = true\nmaxUsedSpace = 1\n").unwrap();
    let options = DaemonOptions::arguments(&["--config", &config.display().to_string()]);
    let (daemon, fake) = (Daemon::start_with(options), Fake::with_busybox());
    let dockerfile = "FROM BUSYBOX AS one\nRUN echo NUMBER > /one && sleep 1\n\
         FROM BUSYBOX AS two\nRUN echo NUMBER > /two && sleep 2.5\nRUN sleep 1 && echo more > /more\n\
         FROM one\nCOPY --from=two /two /more /\nRUN grep NUMBER /one && grep NUMBER /two\n";
    let builds = |from: usize| {
        let projects: Vec<_> = (from..from + 3)
            .map(|number| Project::new(&fake.busybox(), &dockerfile.replace("NUMBER", &number.to_string())))
            .collect();
        let running: Vec<_> = projects.iter().map(|project| daemon.build(project).start()).collect();
        // Ends of others make collections begin while those run.
        for number in 0..3 {
            let small = Project::new(&fake.busybox(), &format!("FROM BUSYBOX\nRUN echo {from} {number}\n"));
            daemon.build(&small).succeed();
            std::thread::sleep(Duration::from_millis(1100));
        }
        for build in running {
            build.wait().succeeded();
        }
    };
    builds(0);
    builds(10);
    assert!(eventually(PATIENCE, || usage(&daemon, &[]).is_empty()), "{:#?}", usage(&daemon, &[]));
    daemon.assert_usable();
}

#[test]
fn it_is_told_what_the_policy_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("slipway.toml");
    let policy = "[worker.oci]\nmaxUsedSpace = \"5GB\"\n[[worker.oci.gcpolicy]]\nall = true\nkeepDuration = \"48h\"\n\
         filters = [\"type==regular\"]\nmaxUsedSpace = \"1GB\"\n";
    std::fs::write(&config, policy).unwrap();
    let options = DaemonOptions::arguments(&["--config", &config.display().to_string()]);
    let daemon = Daemon::start_with(options);
    let Some(buildctl) = std::env::var_os("BUILDCTL") else { return };
    let mut command = Command::new(buildctl);
    command.args(["--addr", &daemon.address(), "debug", "workers", "-v"]);
    let told = Running::start(command, None).wait().succeeded().stdout();
    for part in ["GC Policy rule#0", "type==regular", "48h0m0s", "1.073741824GB"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn limits_that_are_none_keep_it_from_starting() {
    let root = tempfile::tempdir().unwrap();
    let start = |arguments: &[&str]| {
        let mut command = Command::new(slipway_tests::slipway());
        command.env_remove("SLIPWAY_ROOT").args(["--root", &root.path().display().to_string(), "daemon"]);
        command.args(["--listen", "unix:///nowhere/s.sock"]).args(arguments);
        Running::start(command, None).wait()
    };
    start(&["--oci-worker-gc-keepstorage", "much"]).failed(125, &["much", "megabytes"]);
    let config = root.path().join("slipway.toml");
    for (wrong, told) in [
        ("[worker.oci]\ngc = 5", "worker.oci"),
        ("[worker.oci]\nmaxUsedSpace = \"lots\"", "lots"),
        ("[[worker.oci.gcpolicy]]\nkeep = 1", "keep"),
        ("[[worker.oci.gcpolicy]]\nfilters = [\"type~=(\"]", "type~=("),
    ] {
        std::fs::write(&config, wrong).unwrap();
        start(&["--config", &config.display().to_string()]).failed(1, &[told]);
    }
}

#[test]
fn told_bytes_are_those_of_the_disk() {
    needs!("du");
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nCOPY file /one\nCOPY file /two\nRUN dd if=/dev/zero of=/a bs=1M count=20\n\
         RUN --mount=type=cache,target=/c cp /a /c/b\nRUN cat /one > /three\n",
    );
    project.write("file", noise(1));
    daemon.build(&project).tag("example.com/one").succeed();
    let other = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN mkdir -p /d/e/f && touch /d/e/f/g\n");
    daemon.build(&other).tag("example.com/two").succeed();
    let held = || du(&daemon.root().join("snapshots")) + du(&daemon.root().join("blobs"));
    let near = |told: u64, counted: u64| told.abs_diff(counted) * 100 <= counted;
    assert!(near(total(&daemon), held()), "{} told, {} counted", total(&daemon), held());
    // With the database, the reserve and the folders it is all there is.
    let said = daemon.client(&["du", "--verbose"]).succeeded().stdout();
    assert!(said.contains("Not counted:"), "{said}");
    assert!(said.contains("Created at:") && said.contains("Usage count:"), "{said}");

    let freed = daemon.client(&["prune", "--force", "--filter", "type==regular"]).succeeded().stdout();
    assert!(freed.contains("Total:"), "{freed}");
    assert!(near(total(&daemon), held()), "{} told, {} counted", total(&daemon), held());
}

#[test]
fn filters_choose_and_ages_count() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN --mount=type=cache,target=/c echo a > /c/b\nRUN true\n",
    );
    daemon.build(&project).tag("example.com/app").succeed();
    let count = |filter: &str| usage(&daemon, &["--filter", filter]).len();
    let all = count("");
    assert!(all > 3);
    for (one, other) in [("mutable", "immutable"), ("shared", "private"), ("inuse", "inuse!=")] {
        let (one, other) = (count(one), if other == "inuse!=" { all - count("inuse") } else { count(other) });
        assert_eq!(one + other, all);
    }
    assert!(count("shared") > 1, "the layers of a named image");
    let base = usage(&daemon, &["--filter", "description~=^pulled from"]);
    let id = base[0]["id"].as_str().unwrap();
    assert_eq!(count(&format!("id=={id}")), 1);
    assert_eq!(
        count(&format!("parents~={id}")),
        usage(&daemon, &[])
            .iter()
            .filter(|record| { record["parents"].as_array().unwrap().iter().any(|parent| parent == id) })
            .count()
    );
    assert_eq!(count("type==exec.cachemount") + count("type!=exec.cachemount"), all);
    assert_eq!(count("description~=^cached mount /c from exec /bin/sh -c echo a"), 1);
    assert_eq!(count("until=24h"), 0);
    daemon.client(&["du", "--filter", "until=ages"]).failed(125, &["ages", "24h"]);
    daemon.client(&["prune", "--force", "--all", "--filter", "until=24h"]).succeeded();
    daemon.client(&["prune", "--force", "--all", "--max-used-space", "1GB"]).succeeded();
    assert_eq!(count(""), all, "nothing is that old, nor is there that much");
    daemon.client(&["prune", "--force", "--all", "--filter", "mutable"]).succeeded();
    assert_eq!(count("mutable"), 0);
}

#[test]
fn as_long_as_an_image_is_here_nobody_is_asked_what_it_is() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN true\n");
    daemon.build(&project).succeed();
    daemon.client(&["prune", "--force", "--all", "--filter", "type==internal"]).succeeded();
    let left = usage(&daemon, &[]);
    assert!(
        left.iter().any(|record| record["description"].as_str().unwrap().starts_with("pulled")),
        "{left:#?}"
    );
    assert!(left.iter().all(|record| record["type"] != "internal"), "{left:#?}");
    fake.clear_log();
    project.write("Dockerfile", format!("FROM {}\nRUN echo other\n", fake.busybox()));
    daemon.build(&project).succeed();
    assert_eq!(fake.count("GET", "manifests") + fake.count("GET", "blobs"), 0);
    daemon.client(&["prune", "--force", "--all"]).succeeded();
    assert!(usage(&daemon, &[]).is_empty());
}

fn usage(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    let said = daemon.client(&[&["du", "--json"], arguments].concat()).succeeded().stdout();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn total(daemon: &Daemon) -> u64 {
    usage(daemon, &[]).iter().map(|record| record["size"].as_u64().unwrap()).sum()
}

fn du(path: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-B1"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}
