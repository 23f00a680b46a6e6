//! Options of `slipway build` that change what is built.

use slipway_model::Platform;
use slipway_tests::{Daemon, Fake, Project};

#[test]
fn target_builds_only_what_it_needs() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX AS one\nRUN echo 1 > /one\nFROM BUSYBOX AS unused\nRUN false\nFROM one AS two\nRUN echo 2 > /two\n",
    );
    let out = Project::empty();
    let progress = daemon.build(&project).args(["--target", "one"]).to(out.path()).succeed().progress();
    assert_eq!(progress.ran().len(), 1, "{progress:#?}");
    assert!(out.join("one").exists() && !out.join("two").exists());
    daemon.build(&project).succeed();
    daemon.build(&project).args(["--target", "three"]).run().failed(1, &["three"]);
}

#[test]
fn build_arguments_come_from_the_environment_too() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project =
        Project::new(&fake.busybox(), "FROM BUSYBOX\nARG A=a\nARG B=b\nARG C=c\nRUN echo $A $B $C > /out\n");
    let out = Project::empty();
    let build = daemon.build(&project).env("B", "from environment").env("C", "").args([
        "--build-arg",
        "A=x=y",
        "--build-arg",
        "B",
        "--build-arg",
        "C",
    ]);
    build.to(out.path()).succeed();
    assert_eq!(out.read("out"), "x=y from environment\n");
}

#[test]
fn labels_are_added() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nLABEL a=1 b=2\n");
    let build = daemon
        .build(&project)
        .args(["--label", "b=two", "--label", "c=x=y", "--push"])
        .tag(&fake.image("labels:1"));
    build.succeed();
    let (_, manifest) = fake.manifest("labels", "1").unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    let config: serde_json::Value = serde_json::from_slice(&fake.blob("labels", &config).unwrap()).unwrap();
    assert_eq!(config["config"]["Labels"], serde_json::json!({ "a": "1", "b": "two", "c": "x=y" }));
}

#[test]
fn no_cache_runs_everything_once_more() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX AS one\nRUN cat /proc/sys/kernel/random/uuid > /one\nFROM BUSYBOX AS two\nRUN cat /proc/sys/kernel/random/uuid > /two\nFROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n",
    );
    let out = Project::empty();
    let build = |arguments: &[&str]| {
        let progress = daemon.build(&project).args(arguments).to(out.path()).succeed().progress();
        (progress, out.read("one"), out.read("two"))
    };
    let (_, one, two) = build(&[]);
    let (progress, one_forced, two_forced) = build(&["--no-cache"]);
    assert_eq!(progress.cached(), Vec::<&str>::new());
    assert!(one != one_forced && two != two_forced);
    let (_, one_kept, two_kept) = build(&[]);
    assert_eq!(
        (&one_kept, &two_kept),
        (&one_forced, &two_forced),
        "the forced results are the ones that are kept"
    );
    let (progress, one_filtered, two_filtered) = build(&["--no-cache-filter", "two"]);
    assert_eq!(one_filtered, one_kept, "{progress:#?}");
    assert_ne!(two_filtered, two_kept, "{progress:#?}");
}

#[test]
fn hosts_and_networks() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN cat /etc/hosts > /hosts; ls /sys/class/net > /interfaces\n",
    );
    let out = Project::empty();
    let build = |arguments: &[&str]| {
        daemon.build(&project).args(arguments).to(out.path()).succeed();
        (out.read("hosts"), out.read("interfaces"))
    };
    let (hosts, _) = build(&["--add-host", "db.example:10.1.2.3", "--add-host", "six.example:[fd00::1]"]);
    assert!(hosts.contains("10.1.2.3\tdb.example") || hosts.contains("10.1.2.3 db.example"), "{hosts}");
    assert!(hosts.contains("fd00::1"), "{hosts}");
    assert_eq!(build(&["--network", "none"]).1, "lo\n");
    let text =
        std::fs::read_to_string(project.join("Dockerfile")).unwrap().replace("RUN", "RUN --network=none");
    project.write("Dockerfile", text);
    assert_eq!(build(&[]).1, "lo\n");
}

#[test]
fn the_hosts_network_must_be_allowed() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN --network=host true\n");
    daemon.build(&project).run().failed(1, &["network.host"]);
    daemon.build(&project).args(["--allow", "network.host"]).run().failed(1, &["network.host"]);
    let insecure = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN --security=insecure true\n");
    daemon.build(&insecure).run().failed(1, &["security.insecure"]);
    daemon.assert_usable();
}

#[test]
fn shared_memory_and_limits() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN df -k /dev/shm | tail -n1 > /shm; ulimit -n > /files\n",
    );
    let out = Project::empty();
    daemon.build(&project).args(["--shm-size", "8m", "--ulimit", "nofile=100:200"]).to(out.path()).succeed();
    assert!(out.read("shm").contains(" 8192 "), "{}", out.read("shm"));
    assert_eq!(out.read("files"), "100\n");
}

#[test]
fn another_platform_says_what_is_missing() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let host = Platform::host();
    let image = fake.put_image("one", "only", &host, &[&[("file", b"content")]]).unwrap();
    fake.put_index("one", "latest", &[(host.clone(), &image)]).unwrap();
    let project = Project::new(&fake.image("one:latest"), "FROM BUSYBOX\nRUN true\n");
    let build = |platform| daemon.build(&project).args(["--platform", platform]).run();
    build("linux/s390x").failed(1, &["linux/s390x", &host.to_string(), &fake.image("one:latest")]);
    build("not//a//platform").failed(1, &["not//a//platform"]);
    daemon.assert_usable();
    // An image that is for one platform only is taken, with a warning.
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\n");
    let outcome = daemon.build(&project).args(["--platform", "linux/s390x"]).succeed();
    assert!(outcome.stderr.contains("InvalidBaseImagePlatform"), "{}", outcome.told());
}

#[test]
fn questions_build_nothing() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX AS one\nRUN false\nFROM one AS two\n");
    let targets = daemon.build(&project).args(["--call", "targets"]).succeed().stdout();
    assert!(targets.contains("one") && targets.contains("two"), "{targets}");
    project.write("Dockerfile", "FROM scratch as One\n");
    let check = daemon.build(&project).arg("--check").run();
    assert_eq!(check.code(), 1, "{}", check.told());
    assert!(check.stdout().contains("StageNameCasing"), "{}", check.told());
}
