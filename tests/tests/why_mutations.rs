//! `slipway why` over generated single changes: what is named is what was changed, always.
//!
//! One daemon, one project. Each round changes one thing of it, builds, and looks at every step that ran: one
//! of its causes must be the change, and at least one step must have it as its own. `WHY_SEED` and
//! `WHY_ROUNDS` choose others than the usual.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use slipway_tests::{Daemon, Fake, Project};

const ROUNDS: u64 = 210;
const SEED: u64 = 20_261_124;
const HIDDEN: &str = "hunter2hunter2";

#[test]
fn what_is_named_is_what_was_changed() {
    let number =
        |name: &str, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (seed, rounds) = (number("WHY_SEED", SEED), number("WHY_ROUNDS", ROUNDS));
    println!("WHY_SEED={seed} WHY_ROUNDS={rounds}");
    let fake = Fake::with_busybox();
    let (mut random, world) = (Random(seed), World::new(&fake));
    let usual = Recipe::new(&world);
    let (mut checked, mut nothing, mut next, mut seen) = (0, 0, 0, HashSet::new());
    for round in 0..rounds {
        // Of builds that differ in equally much the latest counts: so it is always the usual one.
        world.build(&usual);
        let token = format!("tok{round}n");
        let (changed, expected) = loop {
            let change = CHANGES[next % CHANGES.len()];
            next += 1;
            let mut changed = usual.clone();
            let expected = change(&mut changed, &mut random, &token);
            // What was built before is cached, and rightly so.
            if seen.insert(format!("{changed:?}")) {
                break (changed, expected);
            }
        };
        if let Some(variant) = &changed.variant {
            world.publish(variant);
        }
        let context = format!("round {round} of seed {seed}, {expected:?}");
        world.build(&changed);
        let steps = world.why();
        if changed.variant.is_some() {
            world.publish("usual");
        }
        let ran = check(&steps, &expected, &context);
        checked += ran;
        nothing += usize::from(ran == 0);
    }
    assert!(checked > usize::try_from(rounds).unwrap(), "{checked} steps ran in {rounds} rounds");
    println!("{checked} steps ran in {rounds} rounds, nothing in {nothing}");
    assert!(nothing * 20 < usize::try_from(rounds).unwrap(), "{nothing} rounds ran nothing");
    world.assert_nothing_hidden_is_kept();
}

/// What a change is to be told as; no kinds: nothing runs.
#[derive(Debug)]
struct Expected {
    kinds: &'static [&'static str],
    /// Part of what is named.
    named: String,
}

fn expect(kinds: &'static [&'static str], named: impl Into<String>) -> Expected {
    Expected { kinds, named: named.into() }
}

fn check(steps: &[Value], expected: &Expected, context: &str) -> usize {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_it = |cause: &Value| {
        let kind = text(&cause["kind"]);
        let stands_for_step =
            ["inserted", "first", "order", "forced", "forced-input"].contains(&kind.as_str());
        let mut said = [&cause["what"], &cause["old"], &cause["new"]].map(text).join("\n");
        if stands_for_step {
            said.push_str(&text(&cause["step"]));
        }
        said.push_str(&cause["files"].to_string());
        expected.kinds.contains(&kind.as_str()) && said.contains(&expected.named)
    };
    let mut own = false;
    let worked: Vec<&Value> = steps.iter().filter(|step| has_run(step)).collect();
    for step in &worked {
        let causes = step["causes"].as_array().unwrap();
        let told = || format!("{context}: {} has {causes:#?}", step["name"]);
        assert!(causes.iter().any(is_it), "{}", told());
        own |= causes.iter().any(|cause| is_it(cause) && cause["vertex"] == step["vertex"]);
        for other in causes.iter().filter(|cause| !is_it(cause)) {
            // What an earlier step made of the change is a consequence that is named beside it.
            assert!(
                other["kind"] == "files" && step["name"].as_str().unwrap().contains("--from"),
                "{}",
                told()
            );
        }
    }
    assert_eq!(worked.is_empty(), expected.kinds.is_empty(), "{context}: {steps:#?}");
    assert!(own || worked.is_empty(), "{context}: no step has it as its own: {worked:#?}");
    worked.len()
}

/// Steps that had to run; what the client sends always does.
fn has_run(step: &Value) -> bool {
    step["outcome"] == "ran" && step["causes"][0]["kind"] != "session"
}

struct World<'a> {
    fake: &'a Fake,
    daemon: Daemon,
    project: Project,
}

impl<'a> World<'a> {
    fn new(fake: &'a Fake) -> Self {
        let world = Self { fake, daemon: Daemon::start(), project: Project::empty() };
        world.publish("usual");
        world.publish_as("other", "other");
        world
    }

    /// Gives `moving:latest` another layer.
    fn publish(&self, variant: &str) {
        self.publish_as("moving", variant);
    }

    fn publish_as(&self, name: &str, variant: &str) {
        let dockerfile = format!("FROM BUSYBOX\nRUN echo {variant} > /variant\n");
        let project = Project::new(&self.fake.busybox(), &dockerfile);
        self.daemon.build(&project).tag(&self.fake.image(name)).arg("--push").succeed();
    }

    fn build(&self, recipe: &Recipe) {
        self.write(recipe);
        self.daemon.build(&self.project).args(&recipe.options).succeed();
    }

    /// The steps of the latest build, explained.
    fn why(&self) -> Vec<Value> {
        let said = self.daemon.client(&["why", "--json"]).succeeded().stdout();
        let answer: Value = serde_json::from_str(&said).unwrap();
        answer["steps"].as_array().unwrap().clone()
    }

    /// Writes what is not there as it should be; a file that is left alone keeps its times.
    fn write(&self, recipe: &Recipe) {
        for path in ["a.txt", "b.txt", "c.txt", "dir/x", "dir/deep/y", "dir/skip.log", "dir/added"] {
            let there = self.project.join(path);
            match recipe.files.get(path) {
                None => drop(fs::remove_file(there)),
                Some((content, mode)) => {
                    if fs::read_to_string(&there).ok().as_ref() != Some(content) {
                        self.project.write(path, content);
                    }
                    fs::set_permissions(&there, Permissions::from_mode(*mode)).unwrap();
                }
            }
        }
        self.project.write(".dockerignore", format!("{}\n", recipe.ignore));
        self.project.write("Dockerfile", recipe.dockerfile());
    }

    fn assert_nothing_hidden_is_kept(&self) {
        let said = self.daemon.client(&["why", "--list"]).succeeded().stdout();
        for build in said.lines().filter_map(|line| line.split_whitespace().next()) {
            let told = self.daemon.client(&["why", build, "--json"]).succeeded().stdout();
            assert!(!told.contains(HIDDEN), "{told}");
        }
    }
}

#[derive(Clone, Debug)]
struct Recipe {
    base: String,
    environment: BTreeMap<String, String>,
    work_directory: String,
    user: String,
    /// Options and paths of the two copies.
    copies: [[String; 3]; 2],
    mounts: Vec<String>,
    commands: [Vec<String>; 2],
    run_option: String,
    /// Lines before the last command.
    more: Vec<String>,
    first_command: bool,
    document: String,
    label: String,
    ignore: String,
    swapped: bool,
    files: BTreeMap<&'static str, (String, u32)>,
    options: Vec<String>,
    /// What the base image is made anew from.
    variant: Option<String>,
}

impl Recipe {
    fn new(world: &World<'_>) -> Self {
        let file = |content: &str| (content.to_owned(), 0o644);
        let words = |words: [&str; 4]| words.map(str::to_owned).to_vec();
        let copy = |paths: [&str; 3]| paths.map(str::to_owned);
        Self {
            base: world.fake.image("moving"),
            environment: [("MODE", "fast"), ("FLAVOUR", "plain"), ("API_TOKEN", "usual")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            work_directory: "/src".into(),
            user: "root".into(),
            copies: [copy(["", "a.txt b.txt", "files/"]), copy(["", "dir", "dir"])],
            mounts: [
                "type=cache,target=/c1",
                "type=tmpfs,target=/t1,size=1048576",
                "type=bind,source=dir,target=/m1",
                "type=secret,id=s1,target=/run/s1",
            ]
            .map(str::to_owned)
            .to_vec(),
            commands: [
                words(["true", "alpha", "beta", "gamma"]),
                words(["true", "delta", "epsilon", "zeta"]),
            ],
            run_option: String::new(),
            more: Vec::new(),
            first_command: true,
            document: "usual document".into(),
            label: "usual".into(),
            ignore: "ignored".into(),
            swapped: false,
            files: [
                ("a.txt", file("usual a.")),
                ("b.txt", file("usual b.")),
                ("c.txt", file("usual c.")),
                ("dir/x", file("usual x.")),
                ("dir/deep/y", file("usual y.")),
                ("dir/skip.log", file("usual l.")),
            ]
            .into(),
            options: ["--build-arg", "LEVEL=usual"].map(str::to_owned).to_vec(),
            variant: None,
        }
    }

    fn dockerfile(&self) -> String {
        let mut text = format!("FROM {} AS build\nARG LEVEL\n", self.base);
        for (name, value) in &self.environment {
            writeln!(text, "ENV {name}={value}").unwrap();
        }
        writeln!(text, "WORKDIR {}", self.work_directory).unwrap();
        let mut copies = self.copies.clone().map(|[options, from, to]| format!("COPY {options} {from} {to}"));
        if self.swapped {
            copies.reverse();
        }
        writeln!(text, "{}\nCOPY <<END /document\n{}\nEND", copies.join("\n"), self.document).unwrap();
        if self.first_command {
            let mounts: String = self.mounts.iter().map(|mount| format!("--mount={mount} ")).collect();
            writeln!(text, "RUN {mounts}{}", self.commands[0].join(" ")).unwrap();
        }
        writeln!(text, "USER {}", self.user).unwrap();
        self.more.iter().for_each(|line| writeln!(text, "{line}").unwrap());
        writeln!(text, "RUN {} {}", self.run_option, self.commands[1].join(" ")).unwrap();
        let source = &self.work_directory;
        writeln!(text, "FROM scratch\nCOPY --from=build {source}/dir /out\nLABEL a={}", self.label).unwrap();
        text
    }
}

type Change = fn(&mut Recipe, &mut Random, &str) -> Expected;

const CHANGES: [Change; 33] = [
    |recipe, random, token| {
        let command = random.below(2);
        recipe.commands[command][1 + random.below(3)] = token.to_owned();
        expect(&["argument"], token)
    },
    |recipe, random, token| {
        let command = random.below(2);
        recipe.commands[command].insert(1 + random.below(4), token.to_owned());
        expect(&["argument"], token)
    },
    |recipe, random, _| {
        let command = random.below(2);
        let gone = recipe.commands[command].remove(1 + random.below(3));
        expect(&["argument"], gone)
    },
    |recipe, random, token| {
        let name = ["MODE", "FLAVOUR"][random.below(2)];
        recipe.environment.insert(name.into(), token.into());
        expect(&["environment"], token)
    },
    |recipe, _, token| {
        recipe.environment.insert(token.into(), "1".into());
        expect(&["environment"], token)
    },
    |recipe, random, _| {
        let name = ["MODE", "FLAVOUR"][random.below(2)];
        recipe.environment.remove(name);
        expect(&["environment"], name)
    },
    |recipe, _, token| {
        recipe.environment.insert("API_TOKEN".into(), format!("{HIDDEN}{token}"));
        expect(&["environment"], "API_TOKEN")
    },
    |recipe, _, token| {
        recipe.options[1] = format!("LEVEL={token}");
        expect(&["environment"], token)
    },
    |recipe, random, token| {
        let path = random.file();
        recipe.files.insert(path, (token.into(), 0o644));
        expect(&["files"], format!("/{path}\",\"what\":[\"content\"]"))
    },
    |recipe, random, token| {
        let path = random.file();
        // The same length: nothing but the bytes tells.
        recipe.files.insert(path, (format!("{token:>8}"), 0o644));
        expect(&["files"], format!("/{path}\",\"what\":[\"content\"]"))
    },
    |recipe, random, _| {
        let (path, mode) = (random.file(), [0o600, 0o755, 0o640, 0o4755][random.below(4)]);
        recipe.files.insert(path, (recipe.files[path].0.clone(), mode));
        expect(&["files"], format!("/{path}\",\"what\":[\"mode 0644 → {mode:04o}\"]"))
    },
    |recipe, random, token| {
        let path = random.file();
        recipe.files.insert(path, (token.into(), 0o700));
        expect(&["files"], format!("/{path}\",\"what\":[\"content\",\"mode 0644 → 0700\"]"))
    },
    |recipe, _, token| {
        recipe.files.insert("dir/added", (token.into(), 0o644));
        expect(&["files"], "/dir/added\",\"what\":[\"added\"]")
    },
    |recipe, _, _| {
        recipe.files.remove("dir/skip.log");
        expect(&["files"], "/dir/skip.log\",\"what\":[\"removed\"]")
    },
    |recipe, _, _| {
        recipe.ignore.push_str("\n**/y");
        expect(&["files", "field"], "/y")
    },
    |recipe, random, _| {
        let owner = format!("{}:{}", 1 + random.below(900), 1 + random.below(900));
        recipe.copies[random.below(2)][0] = format!("--chown={owner}");
        expect(&["field"], owner)
    },
    |recipe, random, _| {
        let mode = ["0700", "0711", "0755"][random.below(3)];
        recipe.copies[random.below(2)][0] = format!("--chmod={mode}");
        expect(&["field"], mode)
    },
    |recipe, _, token| {
        recipe.copies[0][2] = format!("{token}/");
        expect(&["field"], token)
    },
    |recipe, _, _| {
        recipe.copies[0][1] = "a.txt c.txt".into();
        expect(&["field", "files"], "c.txt")
    },
    |recipe, _, _| {
        recipe.swapped = true;
        expect(&["order"], "COPY")
    },
    |recipe, _, token| {
        recipe.variant = Some(token.to_owned());
        expect(&["base-image"], "/moving")
    },
    |recipe, _, _| {
        recipe.base = recipe.base.replace("moving", "other");
        expect(&["base-image"], "/other")
    },
    |recipe, random, token| {
        let (index, mount, named) = [
            // All caches that are not the usual one are the same to a key.
            (0, "type=cache,target=/c1,id=another".to_owned(), "/c1 id".to_owned()),
            (
                1,
                format!("type=tmpfs,target=/t1,size={}", 4096 * (1 + random.below(50))),
                "/t1 size".to_owned(),
            ),
            (2, "type=bind,source=dir/deep,target=/m1".to_owned(), "/m1 source".to_owned()),
            (2, "type=bind,source=dir,target=/m1,rw".to_owned(), "/m1".to_owned()),
            (3, format!("type=secret,id={token},target=/run/s1"), token.to_owned()),
            (3, "type=secret,id=s1,target=/run/s1,mode=0440".to_owned(), "/run/s1 mode".to_owned()),
        ][random.below(6)]
        .clone();
        recipe.mounts[index] = mount;
        // Another part of the directory is told with the files in it.
        if named == "/m1 source" { expect(&["mount", "files"], "/m1") } else { expect(&["mount"], named) }
    },
    |recipe, random, token| {
        let index = random.below(4);
        for target in ["/c1", "/t1", "/m1", "/run/s1"] {
            recipe.mounts[index] =
                recipe.mounts[index].replace(&format!("target={target}"), &format!("target=/{token}"));
        }
        expect(&["mount"], "/")
    },
    |recipe, random, token| {
        let kind = ["tmpfs", "cache"][random.below(2)];
        recipe.mounts.push(format!("type={kind},target=/{token}"));
        expect(&["mount"], token)
    },
    |recipe, random, _| {
        let index = random.below(4);
        recipe.mounts.remove(index);
        expect(&["mount"], ["/c1", "/t1", "/m1", "/run/s1"][index])
    },
    |recipe, _, token| {
        recipe.work_directory = format!("/{token}");
        expect(&["field", "files"], token)
    },
    |recipe, random, _| {
        recipe.user = (1000 + random.below(500)).to_string();
        expect(&["field"], recipe.user.clone())
    },
    |recipe, _, token| {
        recipe.more.push(format!("RUN true {token}"));
        expect(&["inserted", "first"], token)
    },
    |recipe, _, _| {
        recipe.first_command = false;
        expect(&["removed"], "alpha")
    },
    |recipe, random, token| match random.below(3) {
        0 => {
            recipe.run_option = "--network=none".into();
            expect(&["field"], "network")
        }
        1 => {
            recipe.more.push("SHELL [\"/bin/sh\", \"-e\", \"-c\"]".into());
            expect(&["argument"], "-e")
        }
        _ => {
            recipe.document = token.to_owned();
            expect(&["field"], token)
        }
    },
    |recipe, random, _| {
        recipe.options.push(["--no-cache", "--no-cache-filter=build"][random.below(2)].into());
        expect(&["forced", "forced-input"], "")
    },
    |recipe, _, token| {
        recipe.label = token.to_owned();
        expect(&[], "")
    },
];

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % bound
    }

    fn file(&mut self) -> &'static str {
        ["a.txt", "b.txt", "dir/x", "dir/deep/y"][self.below(4)]
    }
}
