//! Frontends in images: ours, one that knows no Dockerfiles, and bad ones.

use std::fs;
use std::time::Duration;

use slipway_tests::static_program::static_program;
use slipway_tests::{Daemon, DaemonOptions, Fake, Outcome, Project, eventually, leftovers, needs};

const LABELS: &str = "LABEL moby.buildkit.frontend.network.none=true \
    moby.buildkit.frontend.caps=moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests";

/// Pushes an image that holds the program `name` of `package` and nothing else.
fn push(daemon: &Daemon, image: &str, package: &str, name: &str) {
    push_with(daemon, image, package, name, "");
}

/// The same; `arguments` follow the program in the JSON of the entrypoint.
fn push_with(daemon: &Daemon, image: &str, package: &str, name: &str, arguments: &str) {
    let program = static_program(package, name, "dev").unwrap_or_else(|error| panic!("{error:#}"));
    let dockerfile = format!(
        "FROM scratch\nCOPY --chmod=0755 {name} /{name}\n{LABELS}\nENTRYPOINT [\"/{name}\"{arguments}]\n"
    );
    let project = Project::new("", &dockerfile).file(name, fs::read(program).expect("a program"));
    daemon.build(&project).args(["--push", "-t", image]).succeed();
}

/// Pushes busybox with an entrypoint of a shell script.
fn push_script(daemon: &Daemon, fake: &Fake, image: &str, script: &str) {
    let dockerfile = format!(
        "FROM BUSYBOX\nCOPY script /script\nLABEL {}\nENTRYPOINT [\"/bin/sh\", \"/script\"]\n",
        "a=b"
    );
    let project = Project::new(&fake.busybox(), &dockerfile).file("script", script);
    daemon.build(&project).args(["--push", "-t", image]).succeed();
}

#[test]
fn our_own_frontend_runs_as_an_image() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    let image = fake.image("front:1");
    push(&daemon, &image, "slipway-frontend-image", "slipway-frontend");
    let dockerfile = format!(
        "# syntax={image}\nFROM {} AS base\nARG WHO=nobody\nRUN echo hello $WHO > /greeting\n\
         FROM scratch\nCOPY --from=base /greeting /\nCOPY file /\n",
        fake.busybox()
    );
    let project = Project::new("", &dockerfile).file("file", "content");
    let out = project.join("out");
    daemon.build(&project).args(["--build-arg", "WHO=world"]).to(&out).succeed();
    assert_eq!(fs::read_to_string(out.join("greeting")).expect("a file"), "hello world\n");
    assert_eq!(fs::read_to_string(out.join("file")).expect("a file"), "content");

    // The same by a build argument, for a file that asks for nothing.
    let plain = Project::new("", "FROM scratch\nCOPY file /\n").file("file", "content");
    daemon.build(&plain).args(["--build-arg", &format!("BUILDKIT_SYNTAX={image}")]).to(&out).succeed();

    // What is wrong in the file is shown with its line, as by the frontend that is built in.
    let wrong = Project::new("", &format!("# syntax={image}\nFROM scratch\nFORM scratch\n"));
    daemon.build(&wrong).run().failed(1, &["unknown instruction: FORM", "3 | >>> FORM scratch"]);
    // So is a step that fails.
    let failing = Project::new("", &format!("# syntax={image}\nFROM {}\nRUN exit 3\n", fake.busybox()));
    daemon.build(&failing).run().failed(1, &["exit code: 3", "3 | >>> RUN exit 3"]);
    daemon.assert_idle();
}

#[test]
fn extensions_of_the_language_come_with_an_image() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    let image = fake.image("front:extended");
    push_with(&daemon, &image, "slipway-frontend-image", "slipway-frontend", ", \"--extensions\"");
    let random = "cat /proc/sys/kernel/random/uuid";
    let dockerfile = format!(
        "ARG MADE=base\nFROM {} AS base\nINCLUDE steps\nRUN --cache-ttl=87600h {random} > /decade\n\
         RUN --no-cache {random} > /each\nFROM scratch\nCOPY --cache-ttl=87600h --from=$MADE /included /decade /each /\n",
        fake.busybox()
    );
    let project = Project::new("", &format!("# syntax={image}\n{dockerfile}"))
        .file("steps", "RUN echo included > /included\n")
        .file(".dockerignore", "*\n");
    let mut made = Vec::new();
    for times in 1..=2 {
        let out = project.join(&format!("../out{times}"));
        daemon.build(&project).to(&out).succeed();
        made.push(
            ["included", "decade", "each"].map(|name| fs::read_to_string(out.join(name)).expect("a file")),
        );
        fs::remove_dir_all(out).expect("a folder");
    }
    assert_eq!(made[0][0], "included\n");
    assert_eq!(made[0][1], made[1][1]);
    assert_ne!(made[0][2], made[1][2]);

    let wrong = project.file("steps", "RUN true\nRUNN true\n");
    daemon.build(&wrong).run().failed(1, &["steps:2: unknown instruction: RUNN", "4 | >>> INCLUDE steps"]);
    // The frontend that is built in knows none of it.
    let plain = Project::new("", &dockerfile);
    daemon.build(&plain).run().failed(1, &["unknown instruction: INCLUDE"]);
    daemon.assert_idle();
}

#[test]
fn a_frontend_need_not_know_dockerfiles() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    let image = fake.image("packs:1");
    push(&daemon, &image, "packs", "packs");
    let manifest =
        |rest: &str| format!("# syntax={image}\nbase = \"{}\"\ncache = \"/cache\"\n{rest}\n", fake.busybox());
    let build = "build = \"sh ./build.sh\"\nlaunch = [\"cat\", \"/app/greeting\"]";
    let script = "echo run >> /cache/runs; echo \"built $(wc -l < /cache/runs) times\" > greeting\n";
    let project = Project::empty().file("packs.toml", manifest(build)).file("build.sh", script);
    for times in 1..=2 {
        // The sources change, the cache stays.
        project.write("sources", times.to_string());
        let out = project.join(&format!("../out{times}"));
        daemon.build(&project).arg("-f").arg(project.join("packs.toml")).to(&out).succeed();
        let greeting = fs::read_to_string(out.join("app/greeting")).expect("a file");
        assert_eq!(greeting, format!("built {times} times\n"));
        fs::remove_dir_all(out).expect("a folder");
    }
    project.write("packs.toml", manifest("biuld = \"true\""));
    daemon
        .build(&project)
        .arg("-f")
        .arg(project.join("packs.toml"))
        .run()
        .failed(1, &["packs.toml", "biuld"]);
    daemon.assert_idle();
}

#[test]
fn a_frontend_that_goes_wrong_is_told_of_and_gone() {
    needs!("busybox");
    let (fake, daemon) = (Fake::with_busybox(), Daemon::start());
    let cases = [
        ("crashes", "echo last words >&2; exit 42", &["failed: exit code: 42", "last words"][..]),
        ("silent", "exit 0", &["returned no result"][..]),
        ("garbage", "while :; do echo this is no gRPC; done", &["what is no gRPC"][..]),
        ("closes", "exec >&-; sleep 1000", &["closed its connection"][..]),
    ];
    for (name, script, _) in cases {
        push_script(&daemon, &fake, &fake.image(&format!("bad:{name}")), script);
    }
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("descriptors").count();
    let mut before = None;
    for (name, _, parts) in cases.iter().chain(&cases) {
        ask(&daemon, &fake.image(&format!("bad:{name}"))).failed(1, parts);
        daemon.assert_idle();
        // The first has fetched what all need.
        let most = *before.get_or_insert_with(descriptors);
        assert!(eventually(Duration::from_secs(10), || descriptors() <= most), "{name} leaves descriptors");
    }
    let nothing = fake.image("bad:nothing");
    let project = Project::new("", "FROM scratch\nCOPY Dockerfile /\n");
    daemon.build(&project).args(["--push", "-t", &nothing]).succeed();
    ask(&daemon, &nothing).failed(1, &["did not run", "/run"]);
    ask(&daemon, &fake.image("bad:absent")).failed(1, &["cannot load the frontend image", "bad:absent"]);

    // One that never returns lives as long as its build.
    let image = fake.image("bad:hangs");
    push_script(&daemon, &fake, &image, "sleep 1000");
    let project = asking(&image);
    let mut hanging = daemon.build(&project).start();
    assert!(eventually(Duration::from_secs(20), || {
        !leftovers::find(&daemon.root(), &[daemon.pid()]).is_empty() || hanging.has_ended()
    }));
    assert!(!hanging.has_ended(), "{}", hanging.stderr());
    hanging.signal(slipway_tests::Signal::INT);
    hanging.wait();
    daemon.assert_usable();
}

#[test]
fn only_what_is_configured_is_run() {
    let fake = Fake::with_busybox();
    let folder = Project::empty();
    let config = format!(
        "[frontend.\"gateway.v0\"]\nallowedRepositories = [\"{}\"]\n\
         [frontend.\"dockerfile.v0\"]\nbuiltinRepositories = [\"docker.io/docker/dockerfile\"]\n",
        fake.image("allowed")
    );
    folder.write("slipway.toml", config);
    let file = folder.join("slipway.toml").display().to_string();
    let daemon = Daemon::start_with(DaemonOptions::arguments(&["--config", &file]));
    ask(&daemon, &fake.image("other:1")).failed(1, &["is not an allowed gateway source"]);
    ask(&daemon, &fake.image("allowed:1")).failed(1, &["cannot load the frontend image"]);
    // As configured, this one is not fetched: the built-in frontend does what it would.
    ask(&daemon, "docker/dockerfile:1").succeeded();
    daemon.assert_idle();
}

fn asking(image: &str) -> Project {
    Project::new("", &format!("# syntax={image}\nFROM scratch\nCOPY Dockerfile /\n"))
}

fn ask(daemon: &Daemon, image: &str) -> Outcome {
    daemon.build(&asking(image)).run()
}
