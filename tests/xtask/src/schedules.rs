//! Random schedules of the solver against its model (`solver/tests/solver/model`), more of them than
//! every run of the tests tries, with an optimised build. A seed that fails is named, and tells its
//! story when it is tried alone.

use anyhow::{Result, ensure};
use slipway_tests::command;

#[derive(clap::Args)]
pub struct Arguments {
    /// How many
    #[arg(default_value_t = 1_000_000)]
    count: u64,
    /// The seed of the first; each next one has the next
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = command::cargo();
    cargo.args(["test", "--quiet", "--profile", "schedules", "--package", "slipway-solver"]);
    cargo.args(["--test", "solver", "--", "--exact", "model::no_schedule_breaks_a_law", "--nocapture"]);
    cargo.env("SLIPWAY_SCHEDULES", arguments.count.to_string());
    cargo.env("SLIPWAY_SEED", arguments.seed.to_string());
    let status = cargo.status()?;
    ensure!(status.success(), "a schedule broke a law: the seed is named above");
    Ok(())
}
