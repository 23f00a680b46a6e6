//! A disk that is full.

use slipway_tests::{Daemon, DaemonOptions, Fake, Project, needs};

/// A daemon whose root is a small filesystem of its own.
fn on_a_small_disk() -> Daemon {
    let mount = "mount -t tmpfs -o size=24m,mode=0700 none {root} && exec \"$@\"";
    let script = format!("mkdir -p {{root}} && {mount}");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    Daemon::start_with(DaemonOptions { wrapper, ..DaemonOptions::default() })
}

#[test]
fn no_space_is_left() {
    needs!("unshare");
    let (daemon, fake) = (on_a_small_disk(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN dd if=/dev/zero of=/big bs=1M count=64\n");
    daemon.build(&project).run().failed(1, &["No space left on device", "Dockerfile:2"]);
    // What the failed step wrote is free again.
    project.write(
        "Dockerfile",
        format!("FROM {}\nRUN dd if=/dev/zero of=/small bs=1M count=8\n", fake.busybox()),
    );
    daemon.build(&project).succeed();
    // The context, this time.
    let project = Project::new(&fake.busybox(), "FROM scratch\nCOPY big /\n").file("big", vec![1; 32 << 20]);
    daemon.build(&project).run().failed(1, &["No space left on device"]);
    daemon.client(&["prune", "--all", "--force"]).succeeded();
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo still works\n");
    daemon.build(&project).succeed();
}

#[test]
fn unused_cache_goes_before_a_build_fails() {
    needs!("unshare");
    let (daemon, fake) = (on_a_small_disk(), Fake::with_busybox());
    let step = |name: &str, megabytes: u32| {
        let text = format!("FROM BUSYBOX\nRUN dd if=/dev/zero of=/{name} bs=1M count={megabytes}\n");
        Project::new(&fake.busybox(), &text)
    };
    // Nobody needs the first two any more when the third comes, which does not fit beside them.
    for name in ["one", "two"] {
        daemon.build(&step(name, 5)).succeed();
    }
    let third = step("three", 12);
    let told = daemon.build(&third).succeed();
    assert!(told.stderr.contains("unused build cache was removed"), "{}", told.told());
    assert_eq!(daemon.build(&third).succeed().progress().ran(), Vec::<&str>::new());

    // Beside a build that fails for want of space, with one error, another that needs none meanwhile goes on.
    let small = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo go; sleep 5; echo small > /small\n");
    let too_large = step("large", 64);
    let mut other = daemon.build(&small).start();
    other.wait_for(" go");
    let large = daemon.build(&too_large).start();
    let failed = large.wait().failed(1, &["no space is left for the build cache"]);
    assert_eq!(failed.errors().len(), 1, "{}", failed.told());
    other.wait().succeeded();
    // The small disk is a mount that would count as left behind.
    daemon.info().succeeded();
    daemon.build(&step("again", 5)).succeed();
}
