//! Slipway against a baseline, on the same work in the same run.
//!
//! The driver is a Python program outside of this repository (`--driver`, by default the one beside the
//! checkout); it alternates the two binaries and prints medians and ratios. What is measured with a baseline
//! says something on a noisy machine; absolute times do not.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use slipway_tests::command::{cargo, line, run as run_command, target, workspace};

#[derive(clap::Args)]
pub struct Arguments {
    /// The daemon to compare with; `{root}`, `{addr}` and `{runtime}` are filled in
    #[arg(long, value_name = "COMMAND")]
    baseline: Option<String>,
    /// The client that drives both: it takes buildctl's arguments
    #[arg(long, value_name = "BINARY")]
    client: PathBuf,
    #[arg(long, default_value = "W1,W2,W4,W8")]
    workload: String,
    #[arg(long, default_value_t = 3)]
    runs: u32,
    #[arg(long, default_value_t = 0.25)]
    scale: f64,
    /// The benchmark driver
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// Results go to FILE.json and FILE.md
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let driver = arguments.driver.clone().unwrap_or_else(|| workspace().join("../shared/bench/bench.py"));
    ensure!(driver.exists(), "the benchmark driver {} is not there: name it with --driver", driver.display());
    let mut build = cargo();
    run_command(build.args(["build", "--release", "--package", "slipway"]))?;
    let slipway = target().join("release/slipway");
    let mut bench = Command::new("python3");
    bench.arg(driver);
    if let Some(baseline) = &arguments.baseline {
        bench.args(["--daemon", &format!("baseline={baseline}")]);
        bench.args(["--client", &format!("baseline={}", arguments.client.display())]);
        bench.args(["--runtime", "baseline=runc"]);
    }
    let daemon = format!("slipway={} --root {{root}} daemon --listen {{addr}}", slipway.display());
    bench.args(["--daemon", &daemon, "--client", &format!("slipway={}", arguments.client.display())]);
    bench.args(["--workload", &arguments.workload, "--runs", &arguments.runs.to_string()]);
    bench.args(["--scale", &arguments.scale.to_string()]);
    let out = arguments.out.clone().unwrap_or_else(|| target().join("bench"));
    bench.arg("--out").arg(out);
    println!("$ {}", line(&bench));
    run_command(&mut bench).map(drop)
}
