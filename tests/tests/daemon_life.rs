//! A daemon's life: start, answer, end; and what keeps it from starting.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use slipway_tests::{Daemon, DaemonOptions, Outcome, Running, Signal, slipway};

#[test]
fn it_answers_and_ends_when_told() {
    let mut daemon = Daemon::start();
    assert!(daemon.info().succeeded().stdout().contains("slipway"), "{}", daemon.info().told());
    let workers = daemon.client(&["debug", "workers"]).succeeded().stdout();
    assert!(workers.contains("linux/"), "{workers}");
    assert!(daemon.stop().success(), "{}", daemon.log());
    assert!(!daemon.socket().exists(), "the socket's name outlives the daemon");
}

#[test]
fn an_interrupt_ends_it_too() {
    let daemon = tempfile::tempdir().unwrap();
    let mut command = Command::new(slipway());
    let socket = daemon.path().join("s.sock");
    command.arg("--root").arg(daemon.path().join("root")).args(["daemon", "--listen"]);
    command.arg(format!("unix://{}", socket.display()));
    let mut running = Running::start(command, None);
    running.wait_for("ready");
    running.signal(Signal::INT);
    running.wait().succeeded();
}

#[test]
fn only_its_owner_may_look() {
    let daemon = Daemon::start();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(daemon.root()), 0o700);
    assert_eq!(mode(daemon.socket()), 0o600);
}

#[test]
fn a_state_directory_has_one_daemon() {
    let daemon = Daemon::start();
    let root = daemon.root().display().to_string();
    let other = daemon.root().join("other.sock");
    start(&["--root", &root, "daemon", "--listen", &format!("unix://{}", other.display())])
        .failed(75, &["ERROR:", &root]);
    daemon.assert_usable();
}

#[test]
fn it_starts_again_after_kill_9() {
    let mut daemon = Daemon::start();
    daemon.kill();
    daemon.start_again();
    daemon.assert_usable();
}

#[test]
fn it_is_the_same_worker_after_a_restart() {
    let mut daemon = Daemon::start();
    let before = daemon.client(&["debug", "workers"]).succeeded().stdout();
    daemon.stop();
    daemon.start_again();
    assert_eq!(before, daemon.client(&["debug", "workers"]).succeeded().stdout());
}

#[test]
fn it_listens_on_tcp() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("tcp://127.0.0.1:{port}");
    let _daemon = Daemon::start_with(DaemonOptions::arguments(&["--listen", &address]));
    start(&["--addr", &address, "debug", "info"]).succeeded();
}

#[test]
fn a_configuration_file_counts() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("c.sock").display());
    let file = folder.path().join("slipway.toml");
    fs::write(
        &file,
        format!("root = \"{}\"\n[grpc]\naddress = [\"{socket}\"]\n", folder.path().join("root").display()),
    )
    .unwrap();
    let mut command = Command::new(slipway());
    command.env("HOME", folder.path()).args(["daemon", "--config"]).arg(&file);
    command.env_remove("SLIPWAY_ROOT");
    let mut running = Running::start(command, None);
    running.wait_for("ready");
    start(&["--addr", &socket, "debug", "info"]).succeeded();
    assert!(folder.path().join("root").is_dir(), "its root was not used");
}

#[test]
fn what_keeps_it_from_starting_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root").display().to_string();
    let daemon = |arguments: &[&str]| start(&[&["--root", &root, "daemon"], arguments].concat());
    daemon(&["--listen", "carrier-pigeon://roof"]).failed(1, &["carrier-pigeon://roof", "unix://PATH"]);
    daemon(&["--oci-worker-snapshotter", "zfs"]).failed(1, &["zfs", "overlayfs or native"]);
    daemon(&["--oci-worker-binary", "/nowhere/runc"]).failed(1, &["/nowhere/runc"]);
    daemon(&["--oci-worker-net", "moon"]).failed(1, &["moon", "host or none"]);
    let config = folder.path().join("slipway.toml");
    fs::write(&config, "[worker.oci]\nfrobnicate = 1\n").unwrap();
    daemon(&["--config", &config.display().to_string()]).failed(1, &["slipway.toml", "frobnicate"]);
    daemon(&["--config", "/nowhere/slipway.toml"]).failed(1, &["/nowhere/slipway.toml"]);
}

#[test]
fn a_root_that_is_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::write(&root, "").unwrap();
    let root = root.display().to_string();
    start(&["--root", &root, "daemon", "--listen", "unix:///nowhere/s.sock"]).failed(1, &[&root]);
}

fn start(arguments: &[&str]) -> Outcome {
    let mut command = Command::new(slipway());
    command.env_remove("BUILDKIT_HOST").env_remove("SLIPWAY_ROOT").args(arguments);
    Running::start(command, None).wait()
}
