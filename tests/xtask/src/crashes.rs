//! Crashes, many of them: every point of the store, records and solver in a process of their own, and then real
//! daemons at random points.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use slipway_tests::command;
use slipway_tests::crashes::sweep;

#[derive(clap::Args)]
pub struct Arguments {
    /// How many times a daemon is killed
    #[arg(default_value_t = 1000)]
    count: usize,
    /// What a run that failed said
    #[arg(long)]
    seed: Option<u64>,
    /// Only real daemons
    #[arg(long)]
    daemons: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.daemons {
        println!(
            "== every point where the store changes a file: kills, torn writes, a full disk, I/O errors"
        );
        let mut points = command::cargo();
        points.args(["test", "--workspace", "--test", "crash", "--", "--nocapture"]);
        points.env("SLIPWAY_CRASHES", "all").env("RUST_BACKTRACE", "0");
        command::run(&mut points)?;
    }
    println!("== building the binary that is killed");
    let mut build = command::cargo();
    command::run(build.args(["build", "--workspace", "--bins", "--tests"]))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = arguments.seed.unwrap_or(now);
    println!("== {} kills of daemons, seed {seed}", arguments.count);
    println!("{:#?}", sweep(seed, arguments.count));
    Ok(())
}
