//! What can be made of a result, each read by a program that is not ours.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use slipway_tests::{Daemon, Fake, Project, archive, needs, readers};

const DOCKERFILE: &str = "FROM BUSYBOX AS a\nRUN mkdir -p /s/empty && echo x > /s/file && ln /s/file /s/hard && ln -s file /s/soft \
    && chmod 750 /s/file && chown 7:8 /s/file && chmod 1777 /s/empty\nFROM scratch\nCOPY --from=a /s/ /s/\nLABEL a=b\nCMD [\"/s/file\"]\n";

struct Setting {
    daemon: Daemon,
    project: Project,
    out: Project,
    _fake: Fake,
}

fn setting() -> Setting {
    let fake = Fake::with_busybox();
    let project = Project::new(&fake.busybox(), DOCKERFILE);
    Setting { daemon: Daemon::start(), project, out: Project::empty(), _fake: fake }
}

#[test]
fn an_oci_archive() {
    needs!("skopeo", "umoci");
    let it = setting();
    let file = it.out.join("image.tar");
    it.daemon
        .build(&it.project)
        .tag("example.com/app:1")
        .output(format!("type=oci,dest={}", file.display()))
        .succeed();
    let image = format!("oci-archive:{}", file.display());
    assert_eq!(readers::config(&image)["config"]["Labels"]["a"], "b");
    let root = readers::unpack(&image, &it.out.join("unpacked"));
    let found = root.join("s/file").metadata().unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (7, 8, 0o750));
    assert_eq!(found.ino(), root.join("s/hard").metadata().unwrap().ino());
    assert_eq!(root.join("s/empty").metadata().unwrap().mode() & 0o7777, 0o1777);
}

#[test]
fn a_docker_archive() {
    needs!("skopeo");
    let it = setting();
    let file = it.out.join("image.tar");
    it.daemon
        .build(&it.project)
        .tag("example.com/app:1")
        .output(format!("type=docker,dest={}", file.display()))
        .succeed();
    let config = readers::config(&format!("docker-archive:{}:example.com/app:1", file.display()));
    assert_eq!(config["config"]["Cmd"][0], "/s/file");
}

#[test]
fn a_layout() {
    needs!("skopeo", "umoci");
    let it = setting();
    let folder = it.out.join("layout");
    let output = format!("type=oci,tar=false,dest={}", folder.display());
    let build = || it.daemon.build(&it.project).output(&output);
    build().tag("example.com/app:1").succeed();
    build().tag("example.com/app:2").succeed();
    build().tag("example.com/app:2").succeed();
    for tag in ["1", "2"] {
        let config = readers::config(&format!("oci:{}:{tag}", folder.display()));
        assert_eq!(config["config"]["Labels"]["a"], "b");
    }
    let index: serde_json::Value = serde_json::from_str(&it.out.read("layout/index.json")).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2, "{index:#}");
    readers::unpack(&format!("oci:{}:1", folder.display()), &it.out.join("unpacked"));
    build().output(&output).run().failed(125, &["only one"]);
}

#[test]
fn a_folder() {
    let it = setting();
    // What is there stays, apart from what has the same name.
    it.out.write("s/old", "old");
    symlink("/etc/passwd", it.out.join("s/file")).unwrap();
    it.daemon.build(&it.project).output(it.out.path()).succeed();
    assert_eq!(it.out.read("s/old"), "old");
    let file = it.out.join("s/file").symlink_metadata().unwrap();
    assert!(file.is_file(), "a link on the way was followed");
    assert_eq!(file.mode() & 0o777, 0o750);
    assert_eq!(file.ino(), it.out.join("s/hard").metadata().unwrap().ino());
    assert_eq!(std::fs::read_link(it.out.join("s/soft")).unwrap(), PathBuf::from("file"));
    assert_eq!(it.out.join("s/empty").metadata().unwrap().mode() & 0o7777, 0o1777);
}

#[test]
fn a_folder_that_holds_nothing_else() {
    let it = setting();
    it.out.write("s/old/deep", "old");
    it.out.write("other", "old");
    let output = format!("type=local,mode=delete,dest={}", it.out.path().display());
    for _ in 0..2 {
        it.daemon.build(&it.project).output(&output).succeed();
        let mut names: Vec<_> =
            std::fs::read_dir(it.out.join("s")).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["empty", "file", "hard", "soft"]);
        assert!(!it.out.join("other").exists());
        assert_eq!(it.out.read("s/file"), "x\n");
    }
}

#[test]
fn a_tar_on_standard_output() {
    let it = setting();
    let tar = it.daemon.build(&it.project).output("-").succeed().stdout;
    let entries = archive::list(&tar);
    assert!(entries["s/file"].starts_with("-rwxr-x--- 7/8"), "{entries:#?}");
    assert!(entries.contains_key("s/soft -> file"), "{entries:#?}");
    assert!(entries["s/empty"].starts_with("drwxrwxrwt"), "{entries:#?}");
    assert_eq!(archive::file(&tar, "s/file"), "x\n");
    let again = it.daemon.build(&it.project).output("type=tar,dest=-").succeed().stdout;
    assert!(tar == again, "the same result gives the same tar");
}

#[test]
fn a_failing_build_leaves_no_file() {
    let it = setting();
    it.project.write("Dockerfile", "FROM scratch\nCOPY missing /\n");
    let file = it.out.join("image.tar");
    it.daemon
        .build(&it.project)
        .output(format!("type=oci,dest={}", file.display()))
        .run()
        .failed(1, &["missing"]);
    assert!(!file.exists());
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let it = setting();
    let outcome = it.daemon.build(&it.project).output("type=oci,dest=/nowhere/image.tar").run();
    outcome.failed(1, &["/nowhere/image.tar"]);
    it.daemon.assert_usable();
}

#[test]
fn facts_about_the_image() {
    needs!("skopeo");
    let it = setting();
    let (metadata, id, file) = (it.out.join("metadata.json"), it.out.join("id"), it.out.join("image.tar"));
    let build = it.daemon.build(&it.project).arg("--metadata-file").arg(&metadata).arg("--iidfile").arg(&id);
    let build = build.tag("example.com/app:1").output(format!("type=oci,dest={}", file.display()));
    let quiet = build.arg("--quiet").succeed();
    let metadata: serde_json::Value = serde_json::from_str(&it.out.read("metadata.json")).unwrap();
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    assert_eq!(it.out.read("id"), digest);
    assert_eq!(quiet.stdout(), format!("{digest}\n"));
    assert_eq!(quiet.stderr, "");
    assert_eq!(metadata["containerimage.descriptor"]["digest"], digest);
    let blob = archive::file(&std::fs::read(file).unwrap(), &format!("blobs/{}", digest.replace(':', "/")));
    let manifest: serde_json::Value = serde_json::from_str(&blob).unwrap();
    assert_eq!(manifest["config"]["digest"], metadata["containerimage.config.digest"]);
    assert_eq!(metadata["image.name"], "example.com/app:1");
}

#[test]
fn several_at_once() {
    let it = setting();
    let (tar, folder) = (it.out.join("files.tar"), it.out.join("files"));
    let build = it.daemon.build(&it.project).output(format!("type=tar,dest={}", tar.display()));
    build.output(format!("type=local,dest={}", folder.display())).succeed();
    let listed = Command::new("tar").arg("-tf").arg(&tar).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("s/hard"));
    assert!(folder.join("s/hard").is_file());
}
