//! `slipway why`: what it says besides what was changed.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use serde_json::Value;
use slipway_tests::{Daemon, End, Fake, Project};

const DOCKERFILE: &str = "FROM BUSYBOX AS build\nCOPY in /in\nRUN cat /in > /out; echo one\nFROM scratch\nCOPY --from=build /out /out\n";

fn setting() -> (Daemon, Fake, Project) {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), DOCKERFILE).file("in", "first");
    (daemon, fake, project)
}

fn why(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    let said = daemon.client(&[&["why", "--json"], arguments].concat()).succeeded().stdout();
    let answer: Value = serde_json::from_str(&said).unwrap();
    answer["steps"].as_array().unwrap().clone()
}

#[track_caller]
fn step<'a>(steps: &'a [Value], part: &str) -> &'a Value {
    let found: Vec<&Value> =
        steps.iter().filter(|step| step["name"].as_str().unwrap().contains(part)).collect();
    assert_eq!(found.len(), 1, "{part}: {steps:#?}");
    found[0]
}

fn kind(step: &Value) -> &str {
    step["causes"][0]["kind"].as_str().unwrap_or("none")
}

#[test]
fn nothing_is_said_of_a_first_build_nor_of_a_cached_one() {
    let (daemon, _fake, project) = setting();
    let outcome = daemon.build(&project).succeed();
    assert!(!outcome.stderr.contains("WHY"), "{}", outcome.stderr);
    let steps = why(&daemon, &[]);
    assert_eq!(kind(step(&steps, "RUN")), "first", "{steps:#?}");
    assert_eq!(kind(step(&steps, "load build context")), "session");

    let first = daemon.client(&["why", "--list"]).succeeded().stdout();
    let first = first.split_whitespace().next().unwrap().to_owned();
    let outcome = daemon.build(&project).succeed();
    assert!(!outcome.stderr.contains("WHY"), "{}", outcome.stderr);
    let steps = why(&daemon, &[]);
    let last = step(&steps, "--from=build");
    assert_eq!((last["outcome"].as_str(), kind(last)), (Some("cached"), "none"), "{last:#}");
    assert_eq!(last["record"]["build"].as_str(), Some(first.as_str()), "{last:#}");
    let said = daemon.client(&["why", "last", "copy --from"]).succeeded().stdout();
    assert!(said.contains(&format!("CACHED: a local result, made 0 seconds ago by build {first}")), "{said}");
}

#[test]
fn progress_names_the_file_and_the_step_it_came_from() {
    let (daemon, _fake, project) = setting();
    daemon.build(&project).succeed();
    // A build that finds everything knows as much afterwards as the one that ran.
    daemon.build(&project).succeed();
    project.write("in", "second");
    let progress = daemon.build(&project).succeed().progress();
    assert_eq!(progress.why("COPY in"), ["file /in (content)"]);
    let run = progress.why("RUN cat");
    assert!(run[0].starts_with("because [build 2/3] COPY in /in: file /in (content)"), "{run:?}");
    assert_eq!(progress.why("--from=build")[0], "file /out (content)");
    assert_eq!(*progress.end("RUN cat"), End::Done);
}

#[test]
fn a_step_is_found_by_number_stage_digest_and_name() {
    let (daemon, _fake, project) = setting();
    daemon.build(&project).succeed();
    let steps = why(&daemon, &[]);
    let run = step(&steps, "RUN cat");
    let digest = run["vertex"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    for wanted in ["build 3/3", "3/3", "run CAT", &digest[..12]] {
        assert_eq!(why(&daemon, &["last", wanted]), std::slice::from_ref(run), "{wanted}");
    }
    daemon.client(&["why", "last", "9/9"]).failed(1, &["9/9", "slipway why"]);
    daemon.client(&["why", "nosuchbuild"]).failed(1, &["nosuchbuild", "not known"]);
    let said = daemon.client(&["why"]).succeeded().stdout();
    assert!(said.contains("RAN     [build 3/3] RUN cat /in > /out; echo one\n"), "{said}");
}

#[test]
fn without_a_build_there_is_nothing_to_tell() {
    let daemon = Daemon::start();
    daemon.client(&["why"]).failed(1, &["no build is known"]);
    assert_eq!(daemon.client(&["why", "--list"]).succeeded().stdout(), "");
}

#[test]
fn what_was_kept_is_there_after_a_kill_and_after_an_end() {
    let (mut daemon, _fake, project) = setting();
    daemon.build(&project).succeed();
    let before = why(&daemon, &[]);
    daemon.stop();
    daemon.start_again();
    assert_eq!(why(&daemon, &[]), before);
    project.write("in", "second");
    let progress = daemon.build(&project).succeed().progress();
    assert_eq!(progress.why("COPY in"), ["file /in (content)"]);
    let before = why(&daemon, &[]);
    // The next build is reported only when all before it is committed.
    daemon.build(&project).succeed();
    daemon.kill();
    daemon.start_again();
    let list = daemon.client(&["why", "--list"]).succeeded().stdout();
    assert!(list.lines().count() >= 2, "{list}");
    let second = list.lines().rev().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(why(&daemon, &[&second]), before);
}

#[test]
fn a_result_that_was_pruned_is_told_so() {
    let (daemon, _fake, project) = setting();
    daemon.build(&project).succeed();
    daemon.client(&["prune", "--all", "--force"]).succeeded();
    let progress = daemon.build(&project).succeed().progress();
    assert_eq!(progress.why("COPY in"), ["nothing changed, but the earlier result is gone from the cache"]);
    assert_eq!(kind(step(&why(&daemon, &[]), "RUN cat")), "pruned");
}

#[test]
fn a_step_that_failed_left_nothing_to_be_found() {
    let (daemon, fake, _) = setting();
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN --mount=type=cache,target=/c test -e /c/there || { touch /c/there; exit 3; }\n",
    );
    daemon.build(&project).run().failed(1, &["exit code: 3"]);
    let steps = why(&daemon, &[]);
    assert_eq!(step(&steps, "RUN")["outcome"], "failed", "{steps:#?}");
    let progress = daemon.build(&project).succeed().progress();
    assert_eq!(progress.why("RUN"), ["nothing changed, but the earlier run left no result"]);
}

#[test]
fn a_step_that_was_cancelled_left_nothing_either() {
    let (daemon, fake, _) = setting();
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN --mount=type=cache,target=/c echo $((40 + 2))nd; test -e /c/there || { touch /c/there; sleep 60; }\n",
    );
    let mut running = daemon.build(&project).start();
    running.wait_for("42nd");
    running.signal(rustix::process::Signal::INT);
    running.wait();
    let progress = daemon.build(&project).succeed().progress();
    assert_eq!(progress.why("RUN"), ["nothing changed, but the earlier run left no result"]);
}

#[test]
fn a_forced_step_says_so_and_so_does_what_stands_on_it() {
    let (daemon, _fake, project) = setting();
    daemon.build(&project).succeed();
    let progress = daemon.build(&project).arg("--no-cache").succeed().progress();
    assert_eq!(progress.why("RUN cat"), ["the cache was not to be used"]);
}

#[test]
fn an_ignored_file_is_told_with_the_pattern() {
    let (daemon, fake, _) = setting();
    let project =
        Project::new(&fake.busybox(), "FROM BUSYBOX\nCOPY . /all\n").file("a", "a").file("b.log", "b");
    daemon.build(&project).succeed();
    project.write(".dockerignore", "*.log\n");
    let progress = daemon.build(&project).succeed().progress();
    let causes = progress.why("COPY");
    assert!(causes[0].contains("/b.log (removed)"), "{causes:?}");
    assert!(causes.iter().any(|cause| cause.contains("excludepatterns added: *.log")), "{causes:?}");
}

/// Two trees with the same content have one list of files, whatever they are called in each.
#[test]
fn files_are_named_where_the_step_reads_them() {
    let (daemon, fake, _) = setting();
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX AS build\nCOPY dir /deep/copy\nFROM scratch\nCOPY --from=build /deep/copy /out\n",
    )
    .file("dir/x", "one");
    daemon.build(&project).succeed();
    project.write("dir/x", "two");
    let progress = daemon.build(&project).succeed().progress();
    assert_eq!(progress.why("COPY dir"), ["file /dir/x (content)"]);
    assert_eq!(progress.why("--from=build")[0], "file /deep/copy/x (content)");
}
