//! Devices of the Container Device Interface, as the worker tells of them.

use slipway_tests::{Daemon, DaemonOptions, Project, command};

const SPECIFICATION: &str = "cdiVersion: '0.6.0'
kind: acme.com/log
devices:
- name: kernel
  containerEdits:
    env: [LOG=kernel]
    deviceNodes: [{path: /dev/acme, hostPath: /dev/kmsg, type: c, major: 1, minor: 11, permissions: rw}]
    mounts: [{hostPath: SHARED, containerPath: /usr/share/acme, options: [ro]}]
- name: free
  annotations: {org.mobyproject.buildkit.device.autoallow: true}
  containerEdits:
    env: [LOG=free]
";

fn with_each_runtime(test: impl Fn(&Daemon)) {
    let shared = Project::empty().file("file", "of the host");
    let folder = Project::empty()
        .file("acme.yaml", SPECIFICATION.replace("SHARED", &shared.path().display().to_string()))
        .file("broken.yaml", "kind: [");
    let keys = format!("insecure-entitlements = [\"device\"]\n[cdi]\nspecDirs = [{:?}]\n", folder.path());
    let config = Project::empty().file("buildkitd.toml", &keys);
    let path = config.join("buildkitd.toml").display().to_string();
    for runtime in command::runtimes() {
        let arguments = ["--config", &path, "--oci-worker-binary", runtime];
        test(&Daemon::start_with(DaemonOptions::arguments(&arguments)));
    }
}

#[test]
fn the_worker_lists_them() {
    with_each_runtime(|daemon| {
        let workers = workers(daemon);
        assert!(
            workers.contains("acme.com/log=kernel") && workers.contains("acme.com/log=free"),
            "{workers}"
        );
        assert!(daemon.log().contains("broken.yaml"));
    });
}

fn workers(daemon: &Daemon) -> String {
    let mut command = std::process::Command::new(slipway_tests::slipway());
    command.args(["buildctl", "--addr", &daemon.address(), "debug", "workers", "--verbose"]);
    let said = slipway_tests::Running::start(command, None).wait().succeeded().stdout;
    String::from_utf8_lossy(&said).into_owned()
}
