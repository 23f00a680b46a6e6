//! A store of a hundred thousand records: listed, opened, pruned. A quarter, a half and all of them, so that it
//! shows what grows faster than it should.

use std::time::Instant;

use anyhow::{Result, ensure};
use slipway_tests::command::{cargo, run as run_command, target};
use slipway_tests::{Daemon, full_store, wire};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(default_value_t = 100_000)]
    count: usize,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut build = cargo();
    run_command(build.args(["build", "--release", "--package", "slipway"]))?;
    slipway_tests::use_binary(target().join("release/slipway"));
    println!(
        "{:>9} {:>9} {:>9} {:>10} {:>9} {:>9} {:>10}",
        "records", "fill s", "du ms", "CLI du ms", "open ms", "prune s", "MB anon"
    );
    for count in [arguments.count / 4, arguments.count / 2, arguments.count] {
        measure(count)?;
    }
    Ok(())
}

fn measure(count: usize) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut daemon = Daemon::start();
    let filled = runtime.block_on(full_store::fill(&daemon, 0, count))?;
    // Sizes are measured when somebody asks for the first time; that is part of filling.
    runtime.block_on(full_store::list(&daemon))?;
    let (listed, listing) = runtime.block_on(full_store::list(&daemon))?;
    ensure!(listed >= count, "{listed} records are listed of {count}");
    let begin = Instant::now();
    daemon.client(&["du"]).succeeded();
    let listing_for_people = begin.elapsed();
    let memory = wire::anonymous_memory(&daemon);
    daemon.stop();
    let begin = Instant::now();
    daemon.start_again();
    let opening = begin.elapsed();
    let (pruned, pruning) = runtime.block_on(full_store::prune(&daemon))?;
    ensure!(pruned >= count, "{pruned} records went of {count}");
    println!(
        "{count:>9} {:>9.1} {:>9.0} {:>10.0} {:>9.0} {:>9.2} {:>10}",
        filled.as_secs_f64(),
        listing.as_secs_f64() * 1e3,
        listing_for_people.as_secs_f64() * 1e3,
        opening.as_secs_f64() * 1e3,
        pruning.as_secs_f64(),
        memory >> 20
    );
    Ok(())
}
