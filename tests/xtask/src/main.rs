//! `cargo xtask`: what the project does with itself.
//!
//! | command | does |
//! |---|---|
//! | `demo` | builds a real project from nothing, pushes it, runs it, and builds it again |
//! | `frontend-image` | builds an image of the Dockerfile frontend, or of an example's |
//! | `test` | the whole test suite, with what it needs from Debian |
//! | `bench` | what many records and large graphs cost; Slipway against a baseline on the same work |
//! | `schedules` | a million random schedules of the solver against its model |
//! | `mutations` | breaks the solver on purpose, and says which test notices |
//! | `crashes` | kills daemons at a thousand places and looks at what they leave |
//! | `golden` | the frontend against recorded answers |
#![allow(unreachable_pub, reason = "nothing of a binary is reachable")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for people")]

mod bench;
mod crashes;
mod demo;
mod frontend_image;
mod mutations;
mod packages;
mod schedules;
mod test;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Work on Slipway")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build, push, run and rebuild the demo project
    Demo(demo::Arguments),
    /// Build an image of the Dockerfile frontend, or of an example's
    FrontendImage(frontend_image::Arguments),
    /// Run the whole test suite
    Test(test::Arguments),
    /// Try random schedules of the solver against its model
    Schedules(schedules::Arguments),
    /// Break the solver on purpose and look which test notices
    Mutations(mutations::Arguments),
    /// Measure what it costs, alone or against a baseline
    Bench(bench::Arguments),
    /// Kill daemons at many points and look at what they leave
    Crashes(crashes::Arguments),
    /// Compare with the recorded answers in a folder
    Golden { folder: Option<PathBuf> },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::FrontendImage(arguments) => frontend_image::run_command(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Schedules(arguments) => schedules::run(&arguments),
        Command::Mutations(arguments) => mutations::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Crashes(arguments) => crashes::run(&arguments),
        Command::Golden { folder } => xtask::golden::run(folder),
    }
}
