//! `cargo xtask`: tasks of the project that are no part of the product.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compares the frontend with recorded answers of the reference.
    Golden {
        /// The folder of recorded answers; by default `SLIPWAY_GOLDEN`, or `shared/golden` beside the
        /// workspace.
        folder: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Golden { folder } => xtask::golden::run(folder),
    }
}
