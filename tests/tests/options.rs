//! Options that make no sense are told apart before anything is built: one message, the code of `docker`.

use slipway_tests::{Daemon, Outcome, Project};

/// Runs `slipway build ARGUMENTS .`, which must fail without reaching any daemon.
fn build(arguments: &[&str]) -> Outcome {
    let project = Project::new("", "FROM scratch\n");
    run(&project, arguments, Some(&project.path().display().to_string()))
}

fn run(project: &Project, arguments: &[&str], context: Option<&str>) -> Outcome {
    let mut command = std::process::Command::new(slipway_tests::slipway());
    command.args(["--addr", "unix:///nowhere/s.sock", "build"]).args(arguments).args(context);
    command.current_dir(project.path()).env("HOME", project.path());
    let outcome = slipway_tests::Running::start(command, None).wait();
    assert!(outcome.stdout.is_empty(), "{}", outcome.told());
    outcome
}

#[test]
fn what_was_typed_wrong_is_quoted() {
    for (arguments, code, parts) in [
        (&["--network", "moon"][..], 125, &["moon", "default, none or host"][..]),
        (&["--add-host", "nowhere"], 125, &["nowhere", "HOST:IP"]),
        (&["--shm-size", "lots"], 125, &["lots", "64m"]),
        (&["--output", "type=floppy"], 125, &["floppy", "docker, local, tar or cacheonly"]),
        (&["--output", "dest=x"], 125, &["dest=x", "no type"]),
        (&["--output", "type=local"], 125, &["dest=DIRECTORY"]),
        (&["--output", "type=oci,rubbish"], 125, &["rubbish", "KEY=VALUE"]),
        (&["--push"], 125, &["--tag"]),
        (&["--build-arg", "=x"], 125, &["=x", "KEY=VALUE"]),
        (&["--build-context", "lonely"], 125, &["lonely", "NAME=DIR"]),
        (&["--call", "sing"], 125, &["sing", "check, outline, targets"]),
        (&["--secret", "src=/etc/passwd"], 125, &["no id"]),
        (&["--secret", "id=a,color=red"], 125, &["color"]),
        (&["--secret", "id=a,src=/nowhere/a"], 1, &["/nowhere/a"]),
        (&["--secret", "id=a,env=NOT_THERE_AT_ALL"], 1, &["NOT_THERE_AT_ALL"]),
        (&["--cache-to", "ref=x"], 125, &["no type"]),
        (&["--annotation", "novalue", "--output", "type=image"], 125, &["novalue", "KEY=VALUE"]),
    ] {
        let outcome = build(arguments).failed(code, parts);
        assert_eq!(outcome.errors().len(), 1, "{}", outcome.told());
    }
}

#[test]
fn a_context_that_is_not_there_is_named() {
    let project = Project::empty().file("file", "");
    run(&project, &[], Some("missing")).failed(1, &["missing"]);
    run(&project, &[], Some("file")).failed(1, &["file is not a directory"]);
    run(&project, &["-f", "other/Dockerfile"], Some(".")).failed(1, &["other/Dockerfile"]);
    run(&project, &["-f", "."], Some(".")).failed(125, &["is a directory"]);
    run(&project, &["--build-context", "a=missing"], Some(".")).failed(1, &["missing"]);
    run(&project, &["-f", "-"], Some("-")).failed(125, &["both the context and the Dockerfile"]);
}

#[test]
fn an_unknown_option_is_named() {
    build(&["--frobnicate"]).failed(2, &["--frobnicate"]);
    run(&Project::empty(), &[], None).failed(2, &["PATH"]);
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    build(&[]).failed(1, &["unix:///nowhere/s.sock", "is it running?"]);
}

#[test]
fn a_daemon_that_hangs_up_is_told_apart() {
    let project = Project::new("", "FROM scratch\n");
    let socket = project.join("deaf.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let hangs_up = std::thread::spawn(move || drop(listener.accept()));
    let mut command = std::process::Command::new(slipway_tests::slipway());
    command.arg("--addr").arg(format!("unix://{}", socket.display())).args(["debug", "info"]);
    slipway_tests::Running::start(command, None).wait().failed(1, &["cannot reach the daemon", "deaf.sock"]);
    hangs_up.join().unwrap();
}

#[test]
fn a_cache_that_cannot_be_had_is_refused() {
    let daemon = Daemon::start();
    let project = Project::new("", "FROM scratch\n");
    daemon.build(&project).args(["--cache-to", "type=floppy"]).run().failed(1, &["floppy", "not supported"]);
    daemon.assert_usable();
}
