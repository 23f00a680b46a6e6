//! What it costs: alone, or against a baseline.

mod against;
mod records;

use anyhow::Result;
use slipway_tests::command::{cargo, run as run_command};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    alone: Option<Alone>,
    #[command(flatten)]
    against: Option<against::Arguments>,
}

#[derive(clap::Subcommand)]
enum Alone {
    /// List, open and prune a store of many records
    Records(records::Arguments),
    /// Microseconds and bytes per vertex of large graphs, in-process
    Solver,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match (&arguments.alone, &arguments.against) {
        (Some(Alone::Records(arguments)), _) => records::run(arguments),
        (Some(Alone::Solver), _) => {
            let mut bench = cargo();
            bench.args(["bench", "--quiet", "--package", "slipway-solver", "--bench", "cached"]);
            run_command(&mut bench).map(drop)
        }
        (None, Some(arguments)) => against::run(arguments),
        (None, None) => {
            anyhow::bail!("cargo xtask bench records, solver, or --client BINARY for a comparison")
        }
    }
}
