//! `cargo xtask frontend-image`: an image that holds a frontend and nothing else, built with Slipway.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use slipway_tests::command::{cargo, line, run, target};
use slipway_tests::static_program::static_program;

#[derive(clap::Args)]
pub struct Arguments {
    /// An example's frontend in place of the Dockerfile frontend: packs
    #[arg(long)]
    example: Option<String>,
    /// The Dockerfile frontend with the extensions of the language (docs/dockerfile.md)
    #[arg(long, conflicts_with = "example")]
    extensions: bool,
    /// The image's name
    #[arg(long, short)]
    tag: Option<String>,
    /// Push it
    #[arg(long, requires = "tag")]
    push: bool,
    /// Write it as an OCI archive
    #[arg(long, default_value = "frontend-image.tar", conflicts_with = "push")]
    output: String,
    /// Of the program: dev or release
    #[arg(long, default_value = "release")]
    profile: String,
}

/// What the Dockerfile frontend says that it can do.
const CAPABILITIES: &str = "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,\
    moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring";

pub fn run_command(arguments: &Arguments) -> Result<()> {
    let (package, name, capabilities) = match arguments.example.as_deref() {
        None => ("slipway-frontend-image", "slipway-frontend", CAPABILITIES),
        Some(example) => (example, example, ""),
    };
    let program = static_program(package, name, &arguments.profile)?;
    let folder = std::env::temp_dir().join(format!("slipway-frontend-image-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::copy(&program, folder.join(name)).with_context(|| program.display().to_string())?;
    fs::write(folder.join("Dockerfile"), dockerfile(name, capabilities, arguments.extensions))?;
    let built = build(arguments, &folder);
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    built
}

fn dockerfile(name: &str, capabilities: &str, extensions: bool) -> String {
    let flag = if extensions { ", \"--extensions\"" } else { "" };
    format!(
        "FROM scratch\nCOPY {name} /bin/{name}\n\
         LABEL moby.buildkit.frontend.network.none=\"true\"\n\
         LABEL moby.buildkit.frontend.caps=\"{capabilities}\"\n\
         ENTRYPOINT [\"/bin/{name}\"{flag}]\n"
    )
}

fn build(arguments: &Arguments, folder: &std::path::Path) -> Result<()> {
    let profile = if arguments.profile == "dev" { "debug" } else { &arguments.profile };
    let slipway = target().join(profile).join("slipway");
    if !slipway.exists() {
        let mut build = cargo();
        build.args(["build", "--package", "slipway"]);
        run(build.args(["--profile", &arguments.profile]))?;
    }
    let mut build = Command::new(slipway);
    build.arg("build");
    if let Some(tag) = &arguments.tag {
        build.args(["--tag", tag]);
    }
    if arguments.push {
        build.arg("--push");
    } else {
        build.args(["--output", &format!("type=oci,dest={}", arguments.output)]);
    }
    build.arg(folder);
    println!("{}", line(&build));
    let status = build.status().with_context(|| line(&build))?;
    ensure!(status.success(), "{} failed: {status}", line(&build));
    Ok(())
}
