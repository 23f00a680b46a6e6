//! The whole test suite: what CI runs.

use std::process::Command;

use anyhow::Result;
use slipway_tests::command::{self, cargo, exists};

use crate::packages;

#[derive(clap::Args)]
pub struct Arguments {
    /// Only tests whose names match
    filter: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    packages::ensure(&packages::TEST)?;
    packages::ensure_object_stores()?;
    println!("== formatting");
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    println!("== building the binary that the black-box tests drive");
    // Beside the tests, with the same features: else all libraries are built twice.
    run_command(cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    println!("== tests");
    let mut tests = cargo();
    if exists("cargo-nextest") {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        tests.args(["test", "--workspace", "--no-fail-fast"]);
    }
    run_command(tests.args(&arguments.filter))
}

fn run_command(command: &mut Command) -> Result<()> {
    command::run(command).map(drop)
}
