//! BuildKit's own client against our daemon. `$BUILDCTL` names it.
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::PathBuf;
use std::process::Command;

use slipway_tests::{Daemon, Fake, Outcome, Project, Running, archive, needs, readers};

struct Client {
    daemon: Daemon,
    program: PathBuf,
    fake: Fake,
    project: Project,
}

/// `None`, and a word about it, if there is no client to test with.
fn client() -> Option<Client> {
    let Some(program) = std::env::var_os("BUILDCTL") else {
        println!("skipped: BUILDCTL names no buildctl");
        return None;
    };
    let fake = Fake::with_busybox();
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nARG A=1\nCOPY file /copied\nRUN echo built $A > /built\nLABEL a=b\n",
    );
    Some(Client {
        daemon: Daemon::start(),
        program: program.into(),
        fake,
        project: project.file("file", "content"),
    })
}

impl Client {
    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(&self.program);
        command.args(["--addr", &self.daemon.address()]).args(arguments);
        command.env("HOME", self.project.path()).env("DOCKER_CONFIG", self.project.join("docker"));
        command.env_remove("BUILDKIT_HOST");
        Running::start(command, None).wait()
    }

    fn build(&self, arguments: &[&str]) -> Outcome {
        let folder = self.project.path().display();
        let (context, dockerfile) = (format!("context={folder}"), format!("dockerfile={folder}"));
        let fixed = [
            "build",
            "--progress",
            "plain",
            "--frontend",
            "dockerfile.v0",
            "--local",
            &context,
            "--local",
            &dockerfile,
        ];
        self.run(&[&fixed, arguments].concat())
    }
}

#[test]
fn it_sees_the_worker() {
    let Some(client) = client() else { return };
    let workers = client.run(&["debug", "workers"]).succeeded().stdout();
    assert!(workers.contains("linux/"), "{workers}");
    let verbose = client.run(&["debug", "workers", "-v"]).succeeded().stdout();
    assert!(verbose.contains("Labels") || verbose.contains("Platforms"), "{verbose}");
    client.run(&["debug", "info"]).succeeded();
}

#[test]
fn it_builds_to_a_folder() {
    let Some(client) = client() else { return };
    let out = Project::empty();
    let outcome = client.build(&[
        "--opt",
        "build-arg:A=2",
        "--output",
        &format!("type=local,dest={}", out.path().display()),
    ]);
    outcome.succeeded();
    assert_eq!(out.read("built"), "built 2\n");
    assert_eq!(out.read("copied"), "content");
    client.daemon.assert_idle();
}

#[test]
fn it_builds_archives() {
    needs!("skopeo");
    let Some(client) = client() else { return };
    let out = Project::empty();
    let (tar, oci) = (out.join("files.tar"), out.join("oci.tar"));
    client.build(&["--output", &format!("type=tar,dest={}", tar.display())]).succeeded();
    assert_eq!(archive::file(&std::fs::read(&tar).unwrap(), "built"), "built 1\n");
    client.build(&["--output", &format!("type=oci,dest={}", oci.display())]).succeeded();
    assert_eq!(readers::config(&format!("oci-archive:{}", oci.display()))["config"]["Labels"]["a"], "b");
    let metadata = out.join("metadata.json").display().to_string();
    let docker = format!("type=docker,name=a:1,dest={}", out.join("docker.tar").display());
    client.build(&["--output", &docker, "--metadata-file", &metadata]).succeeded();
    assert!(out.read("metadata.json").contains("containerimage.config.digest"));
}

#[test]
fn it_pushes() {
    let Some(client) = client() else { return };
    let image = client.fake.image("app:1");
    client.build(&["--output", &format!("type=image,name={image},push=true")]).succeeded();
    assert!(client.fake.manifest("app", "1").is_some());
    let again = client.build(&["--output", &format!("type=image,name={image},push=true")]).succeeded();
    assert_eq!(again.progress().cached().len(), 2, "{}", again.told());
}

#[test]
fn it_carries_caches() {
    let Some(client) = client() else { return };
    let out = Project::empty();
    let (folder, image) = (out.join("cache").display().to_string(), client.fake.image("cache:1"));
    for (export, import) in [
        (format!("type=local,dest={folder},mode=max"), format!("type=local,src={folder}")),
        (format!("type=registry,ref={image}"), format!("type=registry,ref={image}")),
    ] {
        client.build(&["--export-cache", &export]).succeeded();
        client.run(&["prune", "--all"]).succeeded();
        let outcome = client.build(&["--import-cache", &import]).succeeded();
        assert_eq!(outcome.progress().cached().len(), 2, "{}", outcome.told());
    }
}

#[test]
fn it_shows_layouts() {
    let Some(client) = client() else { return };
    let layout = slipway_tests::base_images::busybox_of_tests();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let base = index["manifests"][0]["digest"].as_str().unwrap();
    client.project.write("Dockerfile", "FROM base\nRUN echo built > /built\n");
    let context = format!("context:base=oci-layout://base@{base}");
    let store = format!("base={}", layout.display());
    client.build(&["--oci-layout", &store, "--opt", &context]).succeeded();
}

#[test]
fn it_gives_secrets() {
    let Some(client) = client() else { return };
    client.project.write(
        "Dockerfile",
        format!("FROM {}\nRUN --mount=type=secret,id=s cat /run/secrets/s > /seen\n", client.fake.busybox()),
    );
    client.project.write("secret", "word");
    let out = Project::empty();
    let secret = format!("id=s,src={}", client.project.join("secret").display());
    client
        .build(&["--secret", &secret, "--output", &format!("type=local,dest={}", out.path().display())])
        .succeeded();
    assert_eq!(out.read("seen"), "word");
}

#[test]
fn it_shows_and_prunes_the_cache() {
    let Some(client) = client() else { return };
    client.build(&[]).succeeded();
    let used = client.run(&["du"]).succeeded().stdout();
    assert!(used.contains("Total:") && used.lines().count() > 4, "{used}");
    client.run(&["du", "--verbose"]).succeeded();
    let pruned = client.run(&["prune", "--all"]).succeeded().stdout();
    assert!(pruned.contains("Total:"), "{pruned}");
    let left = client.run(&["du"]).succeeded().stdout();
    assert!(left.contains("Total:\t\t0B") || left.contains("0B"), "{left}");
}

#[test]
fn it_shows_where_a_build_failed() {
    let Some(client) = client() else { return };
    client
        .project
        .write("Dockerfile", format!("FROM {}\nRUN echo before && exit 7\n", client.fake.busybox()));
    let outcome = client.build(&[]).failed(1, &["exit code: 7", "Dockerfile:2", ">>> RUN echo before"]);
    assert!(outcome.stderr.contains("before"), "{}", outcome.told());
    client.project.write("Dockerfile", "FROM scratch\nFRUM x\n");
    client.build(&[]).failed(1, &["FRUM", "Dockerfile:2"]);
    client.daemon.assert_usable();
}

#[test]
fn it_shows_and_prunes_the_history() {
    let Some(client) = client() else { return };
    client.build(&[]).succeeded();
    let list = client.run(&["debug", "histories"]).succeeded().stdout();
    let name = list.lines().nth(1).and_then(|line| line.split_whitespace().nth(1)).expect("a record");
    let log = client.run(&["debug", "logs", "--progress", "plain", name]).succeeded().stdout();
    assert!(log.contains("RUN echo built"), "{log}");
    let pruned = client.run(&["prune-histories"]).succeeded().stdout();
    assert!(pruned.contains(name), "{pruned}");
    assert_eq!(client.run(&["debug", "histories"]).succeeded().stdout().lines().count(), 1);
}
