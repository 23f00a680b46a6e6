//! Devices of the Container Device Interface: who gets them, and what they bring.

use slipway_tests::{Daemon, DaemonOptions, Fake, Project, command};

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
        .file("acme.yaml", &SPECIFICATION.replace("SHARED", &shared.path().display().to_string()))
        .file("broken.yaml", "kind: [");
    let keys = format!("insecure-entitlements = [\"device\"]\n[cdi]\nspecDirs = [{:?}]\n", folder.path());
    let config = Project::empty().file("buildkitd.toml", &keys);
    let path = config.join("buildkitd.toml").display().to_string();
    for runtime in ["builtin", "runc"] {
        if runtime != "builtin" && !command::exists(runtime) {
            println!("skipped with {runtime}: it is not installed");
            continue;
        }
        let arguments = ["--config", &path, "--oci-worker-binary", runtime];
        test(&Daemon::start_with(DaemonOptions::arguments(&arguments)));
    }
}

fn step(fake: &Fake, device: &str, script: &str) -> Project {
    Project::new(&fake.busybox(), &format!("FROM BUSYBOX\nRUN --device={device} {script}\n"))
}

#[test]
fn a_device_is_given_to_whom_it_is_granted() {
    let fake = Fake::with_busybox();
    with_each_runtime(|daemon| {
        let script = "test -c /dev/acme && echo '<7>a test' > /dev/acme && cat /usr/share/acme/file > /seen && \
                      ! touch /usr/share/acme/x && echo $LOG > /log";
        let project = step(&fake, "acme.com/log=kernel", script);
        let refusal = "device acme.com/log=kernel is requested by the build but not allowed";
        daemon.build(&project).run().failed(1, &[refusal]);
        daemon.build(&project).args(["--allow", "device=acme.com/log=free"]).run().failed(1, &[refusal]);
        let out = Project::empty();
        for granted in ["device", "device=acme.com/log=kernel"] {
            daemon.build(&project).args(["--allow", granted]).to(out.path()).succeed();
            assert_eq!((out.read("seen"), out.read("log")), ("of the host".into(), "kernel\n".into()));
            assert!(!out.join("dev/acme").exists() && !out.join("usr/share/acme").exists());
        }
        daemon.assert_idle();
    });
}

#[test]
fn one_that_is_everybodys_needs_no_grant_and_one_that_is_missing_is_named() {
    let fake = Fake::with_busybox();
    with_each_runtime(|daemon| {
        daemon.build(&step(&fake, "acme.com/log=free", "test $LOG = free")).succeed();
        daemon.build(&step(&fake, "acme.com/log=none", "true")).succeed();
        let missing = step(&fake, "acme.com/log=none,required", "true");
        daemon.build(&missing).run().failed(1, &["acme.com/log=none", "not registered"]);
        let alias = step(&fake, "mylog", "test $LOG = kernel");
        daemon.build(&alias).args(["--allow", "device=acme.com/log=kernel,alias=mylog"]).succeed();
    });
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
