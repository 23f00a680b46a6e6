//! Builds on a containerd: the main way, what other clients of it see, and what they can do to us.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::time::Duration;

use slipway_proto::control::ListWorkersRequest;
use slipway_tests::{Containerd, Daemon, DaemonOptions, Fake, Project, eventually, wire};

const NAMESPACE: &str = "builds";

fn options(containerd: &Containerd, more: &[&str]) -> DaemonOptions {
    let address = containerd.address();
    let own = [
        "--containerd-worker=true",
        "--containerd-worker-addr",
        &address,
        "--containerd-worker-namespace",
        NAMESPACE,
        "--containerd-worker-labels",
        "team=a",
    ];
    DaemonOptions::arguments(&[&own[..], more].concat())
}

fn project(base: &str) -> Project {
    Project::new(base, "FROM BUSYBOX\nRUN echo built > /file\nCMD [\"cat\", \"/file\"]\n")
}

#[test]
fn what_the_worker_says_about_itself() {
    let Some(containerd) = Containerd::start() else { return };
    let daemon = Daemon::start_with(options(&containerd, &[]));
    let workers = runtime().block_on(async {
        let mut control = wire::control(&daemon).await;
        control.list_workers(ListWorkersRequest::default()).await.unwrap().into_inner().record
    });
    let [worker] = &workers[..] else { panic!("{workers:?}") };
    let label = |name: &str| worker.labels.get(&format!("org.mobyproject.buildkit.worker.{name}")).cloned();
    assert_eq!(label("executor").as_deref(), Some("containerd"));
    assert_eq!(label("snapshotter").as_deref(), Some("overlayfs"));
    assert_eq!(label("containerd.namespace").as_deref(), Some(NAMESPACE));
    assert_eq!(label("selinux.enabled").as_deref(), Some("false"));
    assert_eq!(label("oci.process-mode"), None);
    let uuid =
        std::fs::read_to_string(containerd.root().join("io.containerd.grpc.v1.introspection/uuid")).unwrap();
    assert_eq!(label("containerd.uuid").as_deref(), Some(uuid.trim()));
    assert_eq!(worker.labels["team"], "a");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn an_image_is_seen_and_run_by_other_clients_and_theirs_is_built_on() {
    let Some(containerd) = Containerd::start() else { return };
    let fake = Fake::with_busybox();
    let daemon = Daemon::start_with(options(&containerd, &[]));
    let built = project(&fake.busybox());
    let build = |project: &Project, name: &str, more: &str| {
        daemon.build(project).output(format!("type=image,name={name}{more}")).succeed()
    };
    build(&built, "example.test/app:1", ",unpack=true");
    let ctr = |arguments: &[&str]| containerd.ctr_lines(NAMESPACE, arguments);
    assert_eq!(ctr(&["images", "ls", "-q"]), ["example.test/app:1"]);
    assert_eq!(ctr(&["run", "--rm", "example.test/app:1", "of-others"]), ["built"]);
    assert!(ctr(&["images", "check"]).iter().any(|line| line.contains("complete")));

    // Theirs: other names, of a registry that is not there and of one that does not have them.
    let unknown = fake.image("theirs:1");
    for theirs in ["example.test/theirs:1", &unknown] {
        ctr(&["images", "tag", "example.test/app:1", theirs]);
        let text = format!("FROM {theirs}\nRUN grep built /file && echo again > /second\n");
        let output = "type=image,name=example.test/app:2";
        daemon.build(&Project::new("", &text)).output(output).run().succeeded();
        ctr(&["images", "rm", "--sync", theirs]);
    }

    // A name that they take away is only that; what is needed is there or made again.
    ctr(&["images", "rm", "--sync", "example.test/app:1"]);
    build(&built, "example.test/app:1", "");
    assert_eq!(ctr(&["run", "--rm", "example.test/app:1", "again"]), ["built"]);
    daemon.assert_idle();
    containerd.assert_idle();
}

#[test]
fn snapshots_that_others_remove_are_made_again() {
    let Some(containerd) = Containerd::start() else { return };
    let fake = Fake::with_busybox();
    let daemon = Daemon::start_with(options(&containerd, &[]));
    let project = project(&fake.busybox());
    let build = || daemon.build(&project).output("type=image,name=example.test/app:1").succeed().progress();
    assert!(build().ran().iter().any(|step| step.contains("RUN")));
    assert!(build().ran().is_empty(), "nothing has changed");
    // The lease is what keeps them: without it all go at once.
    let leases = containerd.ctr_lines(NAMESPACE, &["leases", "ls", "-q"]);
    let images = containerd.ctr_lines(NAMESPACE, &["images", "ls", "-q"]);
    for image in &images {
        containerd.ctr_lines(NAMESPACE, &["images", "rm", "--sync", image]);
    }
    for lease in &leases {
        containerd.ctr_lines(NAMESPACE, &["leases", "rm", "--sync", lease]);
    }
    let again = build();
    assert!(again.ran().iter().any(|step| step.contains("RUN")), "{again:#?}");
    assert!(build().ran().is_empty());
    daemon.assert_idle();
}

#[test]
fn pruning_leaves_only_images_in_the_namespace() {
    let Some(containerd) = Containerd::start() else { return };
    let fake = Fake::with_busybox();
    let daemon = Daemon::start_with(options(&containerd, &["--containerd-worker-snapshotter=native"]));
    daemon.build(&project(&fake.busybox())).output("type=image,name=example.test/app:1").succeed();
    let ctr = |arguments: &[&str]| containerd.ctr_lines(NAMESPACE, arguments);
    let snapshots = || ctr(&["snapshots", "--snapshotter", "native", "ls"]).len() - 1;
    assert!(snapshots() > 0 && !ctr(&["content", "ls", "-q"]).is_empty());
    daemon.client(&["prune", "--all", "--force"]).succeeded();
    // The record of the build itself stays in the history.
    let gone = eventually(Duration::from_secs(10), || snapshots() == 0);
    assert!(gone, "{:#?}", ctr(&["snapshots", "--snapshotter", "native", "ls"]));
    // The image is containerd's now, whole, until somebody removes it there.
    assert_eq!(ctr(&["images", "ls", "-q"]), ["example.test/app:1"]);
    let checked = ctr(&["images", "check", "name==example.test/app:1"]);
    assert!(checked.iter().any(|line| line.contains("complete")), "{checked:#?}");
    ctr(&["images", "rm", "--sync", "example.test/app:1"]);
    assert_eq!(ctr(&["content", "ls", "-q"]), [""; 0]);
}

#[test]
fn a_step_ends_with_its_build_and_with_its_daemon() {
    let Some(containerd) = Containerd::start() else { return };
    let fake = Fake::with_busybox();
    let mut daemon = Daemon::start_with(options(&containerd, &[]));
    let endless = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo begun >&2 && sleep 1000000\n");
    let tasks = || containerd.ctr_lines(NAMESPACE, &["tasks", "ls", "-q"]).len();
    let running = daemon.build(&endless).start();
    assert!(eventually(Duration::from_secs(30), || tasks() == 1), "no task: {}", running.stderr());
    drop(running);
    assert!(eventually(Duration::from_secs(20), || tasks() == 0));
    containerd.assert_idle();

    let running = daemon.build(&endless).start();
    assert!(eventually(Duration::from_secs(30), || tasks() == 1), "no task: {}", running.stderr());
    daemon.kill();
    drop(running);
    daemon.start_again();
    assert!(eventually(Duration::from_secs(20), || tasks() == 0));
    containerd.assert_idle();
    daemon.assert_idle();
    daemon.build(&project(&fake.busybox())).succeed();
}

#[test]
fn a_containerd_that_dies_fails_the_step_and_nothing_else() {
    let Some(mut containerd) = Containerd::start() else { return };
    let fake = Fake::with_busybox();
    let daemon = Daemon::start_with(options(&containerd, &[]));
    let endless = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo begun >&2 && sleep 1000000\n");
    let running = daemon.build(&endless).start();
    let tasks = containerd.ctr(NAMESPACE, &["tasks", "ls", "-q"]);
    assert!(tasks.status.success());
    let begun = || !containerd.ctr_lines(NAMESPACE, &["tasks", "ls", "-q"]).is_empty();
    assert!(eventually(Duration::from_secs(30), begun), "no task: {}", running.stderr());
    containerd.kill();
    let failed = running.wait();
    assert!(!failed.status.success());
    assert!(failed.stderr.contains("containerd"), "{}", failed.stderr);
    containerd.start_again();
    daemon.build(&project(&fake.busybox())).succeed();
    assert!(containerd.ctr_lines(NAMESPACE, &["containers", "ls", "-q"]).is_empty());
    containerd.assert_idle();
    daemon.assert_idle();
}

#[test]
fn without_a_containerd_the_daemon_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let address = folder.path().join("none.sock");
    let mut command = std::process::Command::new(slipway_tests::slipway());
    command.arg("--root").arg(&root).args(["daemon", "--listen"]);
    command.arg(format!("unix://{}", folder.path().join("s.sock").display()));
    command.args(["--containerd-worker=true", "--containerd-worker-addr"]).arg(&address);
    let outcome = slipway_tests::Running::start(command, None).wait();
    assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("containerd is not reachable at"), "{}", outcome.stderr);
}
