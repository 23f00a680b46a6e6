//! The main job: build in stages, push, read it back, build again; on every snapshotter and runtime.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use serde_json::json;
use slipway_tests::readers::{config, manifest, unpack};
use slipway_tests::{Containerd, Daemon, DaemonOptions, Fake, Outcome, Project, Registry, needs};

const DOCKERFILE: &str = r#"
ARG VERSION=0
FROM BUSYBOX AS build
WORKDIR /work
COPY source.txt ./
RUN tr a-z A-Z < source.txt > compiled.txt

FROM BUSYBOX AS test
COPY --from=build /work/compiled.txt /
RUN <<END
set -eu
grep -q HELLO /compiled.txt
echo passed > /report.txt
END

FROM BUSYBOX
ARG VERSION
LABEL version="${VERSION}" name=main-way
ENV GREETING="hello world" PLACE=/srv
COPY --from=build --chown=65534:65534 --chmod=0640 /work/compiled.txt /srv/
COPY --from=test /report.txt /srv/
COPY docs/ /srv/docs/
WORKDIR ${PLACE}
EXPOSE 8080/tcp
VOLUME /srv/data
HEALTHCHECK --interval=5s --retries=2 CMD ["cat", "/srv/compiled.txt"]
STOPSIGNAL SIGINT
USER 65534:65534
ENTRYPOINT ["/bin/cat"]
CMD ["/srv/compiled.txt"]
"#;

fn project(base: &str) -> Project {
    let project = Project::new(base, DOCKERFILE).file("source.txt", "hello\n");
    project
        .file("docs/a.md", "a")
        .file("docs/deep/b.md", "b")
        .file("docs/skip.log", "no")
        .file(".dockerignore", "**/*.log\n")
}

#[test]
fn overlay_and_the_own_runtime() {
    build_push_and_build_again(DaemonOptions::default());
}

#[test]
fn the_native_snapshotter() {
    build_push_and_build_again(DaemonOptions::arguments(&["--oci-worker-snapshotter", "native"]));
}

#[test]
fn runc() {
    needs!("runc");
    build_push_and_build_again(DaemonOptions::arguments(&["--oci-worker-binary", "runc"]));
}

#[test]
fn containerd_with_overlayfs() {
    on_containerd("overlayfs");
}

#[test]
fn containerd_with_native() {
    on_containerd("native");
}

fn on_containerd(snapshotter: &str) {
    let Some(containerd) = Containerd::start() else { return };
    let address = containerd.address();
    let flags = ["--containerd-worker=true", "--containerd-worker-addr", &address];
    let more = ["--containerd-worker-snapshotter", snapshotter];
    build_push_and_build_again(DaemonOptions::arguments(&[&flags[..], &more].concat()));
    containerd.assert_idle();
}

fn build_push_and_build_again(options: DaemonOptions) {
    needs!("skopeo", "umoci", "docker-registry");
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(&folder.path().join("registry")).unwrap();
    let project = project(&registry.add_busybox());
    let image = registry.image("app/main:1.0");
    let mut daemon = Daemon::start_with(options);
    let build = |daemon: &Daemon, image: &str| -> Outcome {
        let build = daemon.build(&project).args(["--push", "--build-arg", "VERSION=1.0"]).tag(image);
        build.succeed()
    };

    let first = build(&daemon, &image).progress();
    assert_eq!(first.cached(), Vec::<&str>::new());
    check_config(&image);
    check_files(&image, &folder.path().join("unpacked"));
    daemon.assert_idle();

    let again = build(&daemon, &image).progress();
    assert_eq!(again.ran(), Vec::<&str>::new(), "nothing has changed");
    assert_eq!(again.cached().len(), 9, "{again:#?}");

    daemon.stop();
    daemon.start_again();
    let restarted = build(&daemon, &image).progress();
    assert_eq!(restarted.ran(), Vec::<&str>::new(), "a restart forgets nothing");

    project.write("docs/a.md", "changed");
    let edited = build(&daemon, &image).progress();
    assert!(edited.ran().iter().any(|step| step.contains("COPY docs/")), "{edited:#?}");
    assert!(
        edited.ran().iter().all(|step| step.contains("COPY docs/") || step.contains("WORKDIR")),
        "{edited:#?}"
    );

    project.write("docs/skip.log", "changed too, and ignored");
    assert_eq!(build(&daemon, &image).progress().ran(), Vec::<&str>::new());
    daemon.assert_idle();
}

fn check_config(image: &str) {
    let config = config(&format!("docker://{image}"));
    let run = &config["config"];
    assert_eq!(run["User"], "65534:65534");
    assert_eq!(run["WorkingDir"], "/srv");
    assert_eq!(run["Labels"], json!({ "version": "1.0", "name": "main-way" }));
    assert_eq!(run["Entrypoint"], json!(["/bin/cat"]));
    assert_eq!(run["Cmd"], json!(["/srv/compiled.txt"]));
    assert_eq!(run["ExposedPorts"], json!({ "8080/tcp": {} }));
    assert_eq!(run["Volumes"], json!({ "/srv/data": {} }));
    assert_eq!(run["StopSignal"], "SIGINT");
    let env: Vec<&str> = run["Env"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    assert!(env.contains(&"GREETING=hello world") && env.contains(&"PLACE=/srv"), "{env:?}");
    assert!(env.iter().any(|value| value.starts_with("PATH=")), "{env:?}");
    let manifest = manifest(&format!("docker://{image}"));
    let layers = manifest["layers"].as_array().unwrap().len();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), layers);
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.iter().filter(|entry| entry["empty_layer"] != json!(true)).count(), layers);
}

fn check_files(image: &str, folder: &std::path::Path) {
    use std::os::unix::fs::MetadataExt;
    let root = unpack(&format!("docker://{image}"), folder);
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert_eq!(read("srv/compiled.txt"), "HELLO\n");
    assert_eq!(read("srv/report.txt"), "passed\n");
    assert_eq!(read("srv/docs/deep/b.md"), "b");
    assert!(!root.join("srv/docs/skip.log").exists(), ".dockerignore was not heeded");
    let found = root.join("srv/compiled.txt").metadata().unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (65534, 65534, 0o640));
}

#[test]
fn a_second_push_uploads_nothing() {
    let fake = Fake::with_busybox();
    let project = project(&fake.busybox());
    let daemon = Daemon::start();
    let push = || daemon.build(&project).arg("--push").tag(&fake.image("app/main:1.0")).succeed();
    push();
    assert!(fake.manifest("app/main", "1.0").is_some());
    assert!(fake.count("PUT", "/blobs/uploads/") > 0);
    fake.clear_log();
    push();
    assert_eq!(fake.count("POST", "/blobs/uploads/"), 0, "{:#?}", fake.log());
    assert_eq!(fake.count("GET", "/blobs/"), 0, "{:#?}", fake.log());
    assert_eq!(fake.open_uploads(), 0);
}

#[test]
fn two_tags_are_one_push_each() {
    let fake = Fake::with_busybox();
    let project = project(&fake.busybox());
    let daemon = Daemon::start();
    let build = daemon.build(&project).arg("--push").tag(&fake.image("app:1")).tag(&fake.image("app:2"));
    build.succeed();
    assert_eq!(fake.manifest("app", "1"), fake.manifest("app", "2"));
    assert!(fake.manifest("app", "1").is_some());
}

#[test]
fn equal_inputs_give_equal_images() {
    let fake = Fake::with_busybox();
    let project = project(&fake.busybox());
    let digest = |options| {
        let daemon = Daemon::start_with(options);
        let build = daemon.build(&project).args(["--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--quiet"]);
        build.output("type=image,rewrite-timestamp=true").succeed().stdout()
    };
    let native = DaemonOptions::arguments(&["--oci-worker-snapshotter", "native"]);
    assert_eq!(digest(DaemonOptions::default()), digest(native));
}
