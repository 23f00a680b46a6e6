//! The same input, the same digest: two daemons that have nothing in common but what they are asked.
//!
//! They differ in their roots, snapshotters, runtimes, the number of cores they see, and in time: the second builds
//! after the first, so files that steps make have other times. These are the one thing that a build cannot know by
//! itself; `SOURCE_DATE_EPOCH` with `rewrite-timestamp` says which to take. What no step has touched needs neither.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use serde_json::Value;
use slipway_tests::web::{Answer, Web};
use slipway_tests::{Daemon, DaemonOptions, Fake, Project, archive};

/// Whether the files of an image come from the context alone, or steps make some.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Files {
    Given,
    Made,
}

const DOCKERFILES: [(Files, &str); 10] = [
    (Files::Given, "FROM scratch\nCOPY a /\n"),
    (Files::Given, "FROM BUSYBOX\nCOPY a b /\nENV A=b\nLABEL z=1 a=2\nCMD [\"x\"]\n"),
    (Files::Given, "FROM BUSYBOX\nLABEL only=config\nUSER 7\n"),
    (Files::Given, "FROM BUSYBOX\nCOPY --chown=7:8 --chmod=640 --link many/ /\n"),
    (Files::Made, "FROM BUSYBOX\nRUN mkdir /d && echo x > /d/x && ln /d/x /d/y && ln -s x /d/z\n"),
    (
        Files::Made,
        "FROM BUSYBOX AS m\nRUN echo made > /made\nFROM scratch\nCOPY --from=m /made /in/a/folder/\n",
    ),
    (
        Files::Made,
        "FROM BUSYBOX\nWORKDIR /w\nCOPY many/ many/\nRUN rm many/f1 && mv many/f2 many/g && chmod 700 many\n",
    ),
    (Files::Made, "FROM BUSYBOX\nCOPY --link a /a\nRUN cat /a > /b\nCOPY --link b /c\nRUN rm /a\n"),
    (
        Files::Made,
        "FROM BUSYBOX\nRUN seq 1 200000 > /large && mkdir -p /a/b/c && touch /a/b/c/d && rm -r /bin/vi\n",
    ),
    (
        Files::Made,
        "FROM BUSYBOX AS a\nRUN echo a > /a\nFROM BUSYBOX AS b\nRUN echo b > /b\nFROM BUSYBOX\nCOPY --from=a /a /\n\
         COPY --from=b /b /\nRUN cat /a /b > /ab\n",
    ),
];

#[test]
fn two_daemons_make_the_same_images() {
    let fake = Fake::with_busybox();
    let project = Project::empty().file("a", "a").file("b", "b");
    for index in 0..50 {
        project.write(&format!("many/f{index}"), format!("file {index}").repeat(index + 1));
    }
    let first = digests(&fake, &project, DaemonOptions::default());
    let other = DaemonOptions {
        arguments: ["--oci-worker-snapshotter", "native"].map(str::to_owned).to_vec(),
        wrapper: ["taskset", "-c", "0"].map(str::to_owned).to_vec(),
    };
    let second = digests(&fake, &project, other);
    for (index, (first, second)) in first.iter().zip(&second).enumerate() {
        assert_eq!(first, second, "{}", DOCKERFILES[index].1);
    }
}

fn digests(fake: &Fake, project: &Project, options: DaemonOptions) -> Vec<String> {
    let daemon = Daemon::start_with(options);
    let out = Project::empty();
    let build = |(files, dockerfile): &(Files, &str)| {
        project.write("Dockerfile", dockerfile.replace("BUSYBOX", &fake.busybox()));
        let metadata = out.join("metadata.json");
        let mut output = format!("type=oci,name=example.com/app:1,dest={}", out.join("image.tar").display());
        let mut build = daemon.build(project).arg("--metadata-file").arg(&metadata);
        if *files == Files::Made {
            output.push_str(",rewrite-timestamp=true");
            build = build.args(["--build-arg", "SOURCE_DATE_EPOCH=1700000000"]);
        }
        build.output(output).succeed();
        let metadata: Value = serde_json::from_str(&out.read("metadata.json")).unwrap();
        metadata["containerimage.digest"].as_str().unwrap().to_owned()
    };
    DOCKERFILES.iter().map(build).collect()
}

#[test]
fn the_last_change_of_a_context_is_a_time() {
    let (daemon, out) = (Daemon::start(), Project::empty());
    let web = Web::start(|_| {
        Answer::of(200, "FROM scratch\nCOPY <<EOF /made\nby the web\nEOF\n")
            .header("Last-Modified", "Mon, 06 May 2024 07:08:09 GMT")
    });
    let file = out.join("image.tar");
    daemon
        .build(&out)
        .context(web.url("/Dockerfile"))
        .args(["--build-arg", "SOURCE_DATE_EPOCH=context"])
        .output(format!("type=oci,rewrite-timestamp=true,dest={}", file.display()))
        .succeed();
    let image = std::fs::read(&file).unwrap();
    let json = |name: &str| serde_json::from_str::<Value>(&archive::file(&image, name)).unwrap();
    let manifest = json("index.json")["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    let manifest = json(&format!("blobs/{manifest}"));
    // The note that says so.
    assert_eq!(manifest["layers"][0]["annotations"]["buildkit/rewritten-timestamp"], "1714979289");
}
