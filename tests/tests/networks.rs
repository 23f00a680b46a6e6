//! `networkMode`: what steps see of the network, on each runtime.

use std::io::Write;
use std::net::TcpListener;

use slipway_tests::{Daemon, DaemonOptions, Fake, Project, command, host};

/// A daemon for each runtime there is; `keys` are those of `[worker.oci]`.
fn with_each_runtime(keys: &str, test: impl Fn(Daemon)) {
    for runtime in command::runtimes() {
        let config = Project::empty().file("buildkitd.toml", format!("[worker.oci]\n{keys}\n"));
        let path = config.join("buildkitd.toml").display().to_string();
        test(Daemon::start_with(DaemonOptions::arguments(&[
            "--config",
            &path,
            "--oci-worker-binary",
            runtime,
        ])));
    }
}

const BRIDGE: &str = "networkMode = \"bridge\"\nbridgeName = \"steps0\"\nbridgeSubnet = \"10.99.0.0/24\"";

#[test]
fn steps_on_a_bridge_have_their_own_and_leave_nothing() {
    host::of_its_own(|| {
        let before = host::ip("-o link");
        with_each_runtime(BRIDGE, |mut daemon| {
            let fake = Fake::with_busybox();
            assert_eq!(host::ip("-o link"), before, "made before a step wants it");
            let listener = TcpListener::bind("0.0.0.0:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let greeting = std::thread::spawn(move || {
                let (mut client, from) = listener.accept().unwrap();
                client.write_all(b"hello\n").unwrap();
                from
            });
            let project = Project::new(
                &fake.busybox(),
                &format!(
                    "FROM BUSYBOX\nRUN ip -o -4 addr show eth0 > /address\nRUN nc 10.99.0.1 {port} > /greeting\n\
                     RUN ! nc -w 1 127.0.0.1 {port}\nRUN --network=none ! ip link show eth0\n"
                ),
            );
            let out = Project::empty();
            daemon.build(&project).to(out.path()).succeed();
            assert!(out.read("address").contains("inet 10.99.0."), "{}", out.read("address"));
            assert_eq!(out.read("greeting"), "hello\n");
            assert!(greeting.join().unwrap().ip().to_string().starts_with("10.99.0."));
            let workers = workers(&daemon);
            assert!(workers.contains("cni"), "{workers}");
            daemon.assert_idle();
            daemon.stop();
            assert_eq!(host::ip("-o link"), before);
        });
    });
}

#[test]
fn a_killed_daemons_bridge_serves_the_next() {
    host::of_its_own(|| {
        let before = host::ip("-o link");
        with_each_runtime(BRIDGE, |mut daemon| {
            let fake = Fake::with_busybox();
            let step = |turn: &str| {
                Project::new(
                    &fake.busybox(),
                    &format!("FROM BUSYBOX\nRUN ip route show default && echo {turn}\n"),
                )
            };
            daemon.build(&step("one")).succeed();
            daemon.kill();
            assert!(host::ip("-o link").contains("steps0"));
            daemon.start_again();
            daemon.build(&step("two")).succeed();
            daemon.stop();
            assert_eq!(host::ip("-o link"), before);
        });
    });
}

#[test]
fn the_hosts_network_is_an_entitlement_then() {
    host::of_its_own(|| {
        with_each_runtime(BRIDGE, |daemon| {
            let fake = Fake::with_busybox();
            let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN --network=host true\n");
            daemon.build(&project).run().failed(1, &["network.host"]);
        });
    });
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_at_the_start() {
    for (keys, words) in [
        ("networkMode = \"bridge\"\nbridgeSubnet = \"fd00::/64\"", "IPv4"),
        ("networkMode = \"bridge\"\nbridgeName = \"much-too-long-for-a-link\"", "15"),
        ("networkMode = \"cni\"\ncniConfigPath = \"/nonesuch/cni.json\"", "/nonesuch/cni.json"),
        ("networkMode = \"tunnel\"", "tunnel"),
    ] {
        let config = Project::empty().file("buildkitd.toml", format!("[worker.oci]\n{keys}\n"));
        let root = Project::empty();
        let mut command = std::process::Command::new(slipway_tests::slipway());
        command
            .arg("--root")
            .arg(root.path())
            .args(["daemon", "--config"])
            .arg(config.join("buildkitd.toml"));
        slipway_tests::Running::start(command, None).wait().failed(1, &[words]);
    }
}

fn workers(daemon: &Daemon) -> String {
    let mut command = std::process::Command::new(slipway_tests::slipway());
    command.args(["buildctl", "--addr", &daemon.address(), "debug", "workers", "--verbose"]);
    let said = slipway_tests::Running::start(command, None).wait().succeeded().stdout;
    String::from_utf8_lossy(&said).into_owned()
}
