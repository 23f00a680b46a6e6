//! Builds that were there: what is kept of them, and what their output costs.

use std::time::Duration;

use serde_json::Value;
use slipway_tests::{Daemon, Fake, Project, Signal, eventually};

fn records(daemon: &Daemon) -> Vec<Value> {
    let said = daemon.client(&["history", "ls", "--json"]).succeeded().stdout();
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_build_is_found_again() {
    let (mut daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nARG API_TOKEN\nRUN echo said >&2\n");
    daemon.build(&project).args(["--build-arg", "API_TOKEN=hush"]).tag(&fake.image("app:1")).succeed();
    project.write("Dockerfile", format!("FROM {}\nRUN echo before; exit 7\n", fake.busybox()));
    daemon.build(&project).run().failed(1, &["exit code: 7"]);
    daemon.stop();
    daemon.start_again();

    let found = records(&daemon);
    assert_eq!(found.len(), 2);
    let (failed, built) = (&found[0], &found[1]);
    assert_eq!((&failed["status"], &built["status"]), (&"failed".into(), &"completed".into()));
    assert!(failed["error"]["message"].as_str().is_some_and(|error| error.contains("exit code: 7")));
    assert_eq!(failed["externalError"]["mediaType"], "application/vnd.googeapis.google.rpc.status+proto");
    assert_eq!(built["frontendAttrs"]["build-arg:API_TOKEN"], "xxxxx");
    assert_eq!(built["steps"]["total"], built["steps"]["completed"]);
    assert!(built["results"]["0"]["digest"].is_string(), "{built:#}");
    assert_eq!(built["exporters"][0]["type"], "image");

    let name = built["ref"].as_str().expect("a name");
    let log = daemon.client(&["history", "logs", name]).succeeded().progress();
    assert_eq!(log.output("RUN echo said"), "said\n");
    let trace = daemon.client(&["history", "trace", name]).succeeded().stdout();
    let spans: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let named = |name: &str| spans.iter().find(|span| span["Name"] == name);
    let (build, step) = (named("build").expect("a span of the build"), named("[2/2] RUN").expect("a step"));
    let is_of_step = |span: &Value| span["Parent"]["SpanID"] == step["SpanContext"]["SpanID"];
    assert!(spans.iter().any(|span| span["Name"] == "run" && is_of_step(span)), "{trace}");
    assert_eq!(step["Parent"]["SpanID"], build["SpanContext"]["SpanID"]);
    assert!(!trace.contains("hush") && !trace.contains("echo"), "{trace}");
    let inspected = daemon.client(&["history", "inspect", &name[..8]]).succeeded().stdout();
    assert!(inspected.contains("completed") && inspected.contains(name), "{inspected}");

    daemon.client(&["history", "pin", "^0"]).succeeded();
    daemon.client(&["prune", "--all", "--force"]).succeeded();
    let used = daemon.client(&["du"]).succeeded().stdout();
    assert!(!used.contains(failed["externalError"]["digest"].as_str().expect("a digest")), "{used}");
    daemon.client(&["history", "rm", "--all"]).succeeded();
    let left = records(&daemon);
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0]["ref"], &left[0]["pinned"]), (&failed["ref"], &true.into()));
    daemon.client(&["history", "logs", name]).failed(1, &["no record"]);
    daemon.client(&["history", "rm", "^0"]).succeeded();
    let kept = std::fs::read_dir(daemon.root().join("history/sha256")).expect("a folder").count();
    assert_eq!(kept, 0, "content goes with its records");
    daemon.assert_usable();
}

#[test]
fn a_killed_daemon_leaves_a_record_of_what_was_there() {
    let (mut daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nRUN echo under way; sleep 100\n");
    let mut running = daemon.build(&project).start();
    running.wait_for("under way");
    let listed = eventually(Duration::from_secs(10), || records(&daemon)[0]["status"] == "running");
    assert!(listed, "{:#?}", records(&daemon));
    // Rows are committed together, a moment later.
    std::thread::sleep(Duration::from_millis(200));
    daemon.kill();
    drop(running.wait());
    daemon.start_again();
    let found = records(&daemon);
    assert_eq!((found.len(), &found[0]["status"]), (1, &"failed".into()), "{found:#?}");
    let trace = daemon.client(&["history", "trace"]).succeeded().stdout();
    assert!(trace.contains("\"Code\":\"Error\""), "{trace}");
    let log = daemon.client(&["history", "logs"]).succeeded();
    assert!(log.stderr.contains("under way") && log.stderr.contains("interrupted"), "{}", log.stderr);
}

/// Bytes of memory that are no file.
fn memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a kernel that counts");
    let kilobytes: u64 = line.trim_end_matches("kB").trim().parse().expect("a number");
    kilobytes << 10
}

/// Bytes that running builds have said.
fn spooled(daemon: &Daemon) -> u64 {
    let spools = std::fs::read_dir(daemon.root().join("history/spool")).expect("a folder");
    let size = |entry: std::io::Result<std::fs::DirEntry>| Some(entry.ok()?.metadata().ok()?.len());
    spools.filter_map(size).sum()
}

#[test]
fn output_is_kept_in_full_and_takes_no_memory() {
    const LINE: usize = 4001;
    const BYTES: usize = LINE * 50_000;
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let dockerfile =
        format!("FROM BUSYBOX\nRUN yes $(printf %04000d 7) | head -c {BYTES}; echo; echo the end; sleep 1\n");
    let project = Project::new(&fake.busybox(), &dockerfile);
    let (before, mut most) = (memory(&daemon), 0);
    let build = daemon.build(&project).arg("--quiet").start();
    let mut waits_for = |bytes: u64| {
        let arrived = eventually(Duration::from_secs(120), || {
            most = most.max(memory(&daemon));
            spooled(&daemon) >= bytes
        });
        assert!(arrived, "the step says no more:\n{}", daemon.log());
    };
    waits_for(1 << 20);
    // The step does not wait for a client that reads nothing.
    build.signal(Signal::STOP);
    waits_for(BYTES as u64);
    build.signal(Signal::CONT);
    build.wait().succeeded();
    most = most.max(memory(&daemon));
    assert!(most < before + (64 << 20), "it grew from {before} to {most} bytes");

    let log = daemon.client(&["history", "logs"]).succeeded().stderr;
    let lines: Vec<&str> = log.lines().filter_map(|line| line.splitn(3, ' ').nth(2)).collect();
    let digits = lines.iter().filter(|text| text.starts_with("000"));
    assert_eq!(digits.map(|line| line.len() + 1).sum::<usize>(), BYTES);
    assert!(lines.contains(&"the end"));
    assert!(memory(&daemon) < before + (64 << 20));
}
