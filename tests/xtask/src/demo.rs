//! The main job, from nothing: base images, a registry, a build, a push, a run, two rebuilds.
//!
//! Every step is printed as a person would type it, with the time it took.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use slipway_tests::base_images;
use slipway_tests::command::{self, cargo, line, output, target, workspace};
use slipway_tests::registry::Registry;

use crate::packages;

#[derive(clap::Args)]
pub struct Arguments {
    /// Keep the working folder
    #[arg(long)]
    keep: bool,
    /// Runtime of steps: builtin, runc or crun
    #[arg(long, default_value = "builtin")]
    runtime: String,
}

/// A folder of one demo; base images outlive it.
struct Stage {
    folder: PathBuf,
    slipway: PathBuf,
    runtime: String,
    parts: Vec<(String, Duration)>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    packages::ensure(&packages::DEMO)?;
    let folder = std::env::temp_dir().join(format!("slipway-demo-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut stage = Stage {
        slipway: target().join("release/slipway"),
        folder: folder.clone(),
        runtime: arguments.runtime.clone(),
        parts: Vec::new(),
    };
    let outcome = stage.play();
    stage.end_daemon();
    if arguments.keep {
        println!("\nKept: {}", folder.display());
    } else {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    outcome
}

impl Stage {
    fn play(&mut self) -> Result<()> {
        self.heading("Build Slipway");
        let mut build = cargo();
        build.args(["build", "--release", "--package", "slipway"]);
        self.shown("build Slipway", &mut build)?;

        self.heading("Make base images from Debian's packages");
        let images = target().join("base-images");
        fs::create_dir_all(&images)?;
        let started = Instant::now();
        let (busybox, debian) = (base_images::busybox(&images)?, base_images::debian(&images)?);
        self.note("make the base images", started.elapsed());

        self.heading("Start a registry on loopback");
        let registry = Registry::start(&self.folder.join("registry"))?;
        registry.add(&busybox, "latest", "busybox")?;
        registry.add(&debian, "bookworm", "debian")?;
        println!("docker-registry serves busybox and debian:bookworm on {}", registry.address);

        let project = self.folder.join("project");
        copy_folder(&workspace().join("testdata/demo"), &project)?;
        let image = format!("{}/demo/countlines:1.0", registry.address);

        self.heading("Build the project and push the image");
        let first = self.build("first build and push", &project, &registry.address, &image)?;
        ensure!(first.contains("DONE"), "the first build ran nothing");

        self.heading("Read it back with skopeo");
        self.inspect(&image)?;
        self.heading("Run it with runc");
        self.run_image(&image)?;

        self.heading("Build again: nothing has changed");
        let again = self.build("build again, unchanged", &project, &registry.address, &image)?;
        let ran = steps_that_ran(&again);
        ensure!(ran.is_empty(), "steps ran again although nothing changed: {ran:?}");

        self.heading("Edit one source file and build again");
        let source = project.join("src/main.c");
        fs::write(&source, fs::read_to_string(&source)?.replace("countlines %s", "Countlines %s"))?;
        println!("edited src/main.c");
        let edited = self.build("build after an edit", &project, &registry.address, &image)?;
        let ran = steps_that_ran(&edited);
        ensure!(ran.iter().any(|step| step.contains("make VERSION")), "the edit was not compiled: {ran:?}");
        ensure!(!ran.iter().any(|step| step.contains("apt-get")), "packages were installed again: {ran:?}");
        println!("\nOnly these ran:");
        ran.iter().for_each(|step| println!("  {step}"));
        self.run_image(&image)?;

        self.summary();
        Ok(())
    }

    fn build(&mut self, part: &str, project: &Path, registry: &str, image: &str) -> Result<String> {
        let mut build = self.slipway();
        build.args(["build", "--progress", "plain", "--push", "-t", image]);
        build
            .args(["--build-arg", &format!("REGISTRY={registry}"), "--build-arg", "VERSION=1.0"])
            .arg(project);
        println!("$ slipway {}", line(&build).split_once(' ').map_or("", |(_, rest)| rest));
        let started = Instant::now();
        let mut child = build.stderr(Stdio::piped()).spawn()?;
        let progress = echo(child.stderr.take())?;
        let status = child.wait()?;
        self.note(part, started.elapsed());
        ensure!(status.success(), "slipway build failed: {status}");
        Ok(progress)
    }

    fn inspect(&mut self, image: &str) -> Result<()> {
        let mut inspect = Command::new("skopeo");
        inspect.args(["inspect", "--config", "--tls-verify=false", &format!("docker://{image}")]);
        println!("$ {}", line(&inspect));
        let started = Instant::now();
        let config: serde_json::Value = serde_json::from_str(&output(&mut inspect)?)?;
        self.note("read it back with skopeo", started.elapsed());
        println!("{}", serde_json::to_string_pretty(&config["config"])?);
        ensure!(config["config"]["User"] == "65534:65534", "the image has lost its user");
        ensure!(
            config["config"]["Labels"]["org.opencontainers.image.version"] == "1.0",
            "the label is not there"
        );
        Ok(())
    }

    fn run_image(&mut self, image: &str) -> Result<()> {
        let (layout, bundle) = (self.folder.join("layout"), self.folder.join("bundle"));
        let _ = fs::remove_dir_all(&layout);
        let _ = fs::remove_dir_all(&bundle);
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "--quiet", "--src-tls-verify=false", &format!("docker://{image}")]);
        command::run(copy.arg(format!("oci:{}:run", layout.display())))?;
        let mut unpack = Command::new("umoci");
        unpack.args(["unpack", "--image", &format!("{}:run", layout.display())]).arg(&bundle);
        output(&mut unpack)?;
        without_terminal(&bundle.join("config.json"))?;
        let mut start = Command::new("runc");
        start.args(["run", "--bundle"]).arg(&bundle).arg(format!("slipway-demo-{}", std::process::id()));
        println!("$ {}", line(&start));
        let started = Instant::now();
        let said = output(&mut start)?;
        self.note("run the image", started.elapsed());
        print!("{said}");
        ensure!(said.contains("user 65534"), "the image does not run as its user");
        ensure!(said.contains("2 lines"), "the program does not see its file");
        Ok(())
    }

    fn slipway(&self) -> Command {
        let mut command = Command::new(&self.slipway);
        command.arg("--root").arg(self.folder.join("state")).env("SLIPWAY_RUNTIME", &self.runtime);
        command.env_remove("BUILDKIT_HOST");
        command
    }

    /// The daemon of the builds ends by itself a moment after the last one; its folder must be free then.
    fn end_daemon(&self) {
        let socket = self.folder.join("state/slipway.sock");
        let deadline = Instant::now() + Duration::from_secs(15);
        while socket.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn shown(&mut self, part: &str, command: &mut Command) -> Result<()> {
        println!("$ {}", line(command));
        let took = command::run(command)?;
        self.note(part, took);
        Ok(())
    }

    fn heading(&self, text: &str) {
        println!("\n== {text}");
    }

    fn note(&mut self, part: &str, took: Duration) {
        println!("-- {:.2} s", took.as_secs_f64());
        self.parts.push((part.to_owned(), took));
    }

    fn summary(&self) {
        println!("\n== How long each part took");
        for (part, took) in &self.parts {
            println!("{:>8.2} s  {part}", took.as_secs_f64());
        }
    }
}

/// Shows what comes, and gives all of it.
fn echo(stream: Option<std::process::ChildStderr>) -> Result<String> {
    use std::io::{BufRead, BufReader};
    let Some(stream) = stream else { bail!("no progress to read") };
    let mut all = String::new();
    for text in BufReader::new(stream).lines() {
        let text = text?;
        println!("{text}");
        all.push_str(&text);
        all.push('\n');
    }
    Ok(all)
}

/// Names of numbered build steps (`[build 2/4] …`) that ended with DONE and not with CACHED.
fn steps_that_ran(progress: &str) -> Vec<String> {
    let mut names = std::collections::HashMap::new();
    let mut ran = Vec::new();
    for text in progress.lines() {
        let Some((number, rest)) = text.strip_prefix('#').and_then(|text| text.split_once(' ')) else {
            continue;
        };
        if rest.starts_with('[') && !rest.starts_with("[internal]") && rest.contains('/') {
            names.insert(number, rest);
        }
        if rest.starts_with("DONE")
            && let Some(name) = names.get(number)
            && !name.contains("] FROM ")
        {
            ran.push((*name).to_owned());
        }
    }
    ran
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Our output is read, not shown on a terminal; and we have no right to raise limits.
fn without_terminal(config: &Path) -> Result<()> {
    let mut spec: serde_json::Value = serde_json::from_str(&fs::read_to_string(config)?)?;
    spec["process"]["terminal"] = false.into();
    if let Some(process) = spec["process"].as_object_mut() {
        process.remove("rlimits");
    }
    fs::write(config, spec.to_string())?;
    Ok(())
}
