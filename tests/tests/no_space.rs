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
}
