//! How a build is shown.

use slipway_tests::{Daemon, DaemonOptions, End, Fake, Project, needs};

const DOCKERFILE: &str = "FROM BUSYBOX\nRUN echo to stdout; echo to stderr >&2\nRUN printf 'no newline'\n";

#[test]
fn plain_names_every_step_and_its_output() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), DOCKERFILE);
    let outcome = daemon.build(&project).succeed();
    let progress = outcome.progress();
    // Two pipes have no order.
    let mut lines: Vec<&str> = progress.output("RUN echo to").lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["to stderr", "to stdout"]);
    assert_eq!(progress.output("RUN printf"), "no newline\n");
    assert_eq!(*progress.end("load build definition"), End::Done);
    let ran = progress.ran();
    assert_eq!(ran.len(), 2, "{progress:#?}");
    assert!(ran[0].contains("2/3] RUN echo") && ran[1].contains("3/3] RUN printf"), "{ran:?}");
    assert!(!outcome.stderr.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(outcome.stdout.is_empty());
}

#[test]
fn rawjson_is_one_object_for_each_line() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), DOCKERFILE);
    let said = daemon.build(&project).progress("rawjson").succeed().stderr;
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = |key: &str| lines.iter().filter_map(|line| line[key].as_array()).flatten().collect::<Vec<_>>();
    let vertexes = all("vertexes");
    let step = vertexes.iter().rfind(|vertex| vertex["name"].as_str().unwrap().contains("RUN echo")).unwrap();
    assert!(step["digest"].as_str().unwrap().starts_with("sha256:"), "{step}");
    assert!(step["started"].is_string() && step["completed"].is_string(), "{step}");
    assert!(all("logs").iter().any(|log| log["vertex"] == step["digest"] && log["stream"] == 1), "{said}");
    assert!(all("logs").iter().any(|log| log["data"] == "dG8gc3Rkb3V0Cg=="), "{said}");
}

#[test]
fn a_terminal_shows_what_is_going_on() {
    needs!("script");
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), DOCKERFILE);
    let command = daemon.build(&project).progress("auto").into_command();
    let mut script = std::process::Command::new("script");
    script.args(["-q", "-e", "-c", &slipway_tests::command::line(&command), "/dev/null"]);
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => script.env(key, value),
            None => script.env_remove(key),
        };
    }
    script.env("TERM", "xterm").env("COLUMNS", "100");
    let shown = slipway_tests::Running::start(script, None).wait().succeeded().stdout();
    assert!(shown.contains("\u{1b}["), "{shown:?}");
    assert!(shown.contains("RUN echo to stdout") && shown.contains("FINISHED"), "{shown}");
}

#[test]
fn quiet_says_nothing_until_it_fails() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), DOCKERFILE);
    let outcome = daemon.build(&project).arg("--quiet").succeed();
    assert_eq!(outcome.stderr, "");
    assert!(outcome.stdout().starts_with("sha256:") && outcome.stdout().lines().count() == 1);
    project.write("Dockerfile", format!("FROM {}\nRUN echo about to fail && exit 3\n", fake.busybox()));
    daemon.build(&project).arg("--quiet").run().failed(1, &["about to fail", "exit code: 3"]);
}

#[test]
fn a_warning_is_shown_once_with_its_line() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX AS Mixed\nRUN true\n");
    let said = daemon.build(&project).succeed().stderr;
    assert_eq!(said.matches("StageNameCasing").count(), 1, "{said}");
    assert!(said.contains("line 1"), "{said}");
}

#[test]
fn output_beyond_a_limit_is_clipped_and_does_not_stop_the_step() {
    let limited = DaemonOptions::arguments(&["--step-log-max-size", "2097152"]);
    let (daemon, fake) = (Daemon::start_with(limited), Fake::with_busybox());
    let project = Project::new(
        &fake.busybox(),
        "FROM BUSYBOX\nRUN yes 0123456789abcdef | head -c 8000000; echo the-end > /end\n",
    );
    let out = Project::empty();
    let said = daemon.build(&project).to(out.path()).succeed().stderr;
    assert!(out.join("end").exists());
    assert!(said.len() < 4 << 20, "{} bytes of log", said.len());
    assert!(said.contains("clipped"), "{}", &said[said.len().saturating_sub(500)..]);
}

#[test]
fn an_end_is_shown_once() {
    let (daemon, fake) = (Daemon::start(), Fake::with_busybox());
    let project = Project::new(&fake.busybox(), "FROM BUSYBOX\nCOPY file /\nRUN true\n").file("file", "x");
    daemon.build(&project).succeed();
    let said = daemon.build(&project).succeed().stderr;
    for step in ["load build definition", "load build context", "FROM ", "COPY file", "RUN true"] {
        let named =
            said.lines().find(|line| line.contains(step)).unwrap_or_else(|| panic!("{step}:\n{said}"));
        let number = named.split(' ').next().unwrap_or_default();
        let ends: Vec<&str> = said
            .lines()
            .filter(|line| [" DONE", " CACHED"].iter().any(|end| line.starts_with(&format!("{number}{end}"))))
            .collect();
        assert_eq!(ends.len(), 1, "{step}: {ends:?}\n{said}");
    }
}
