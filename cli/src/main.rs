//! `slipway`: one binary for the client, the daemon, and the helper that starts steps.
//!
//! A file for each subcommand. Only this crate prints.
//!
//! | name | is |
//! |---|---|
//! | `slipway` | what [`arguments`] lists |
//! | `buildkitd` | [`buildkitd`]: the daemon, under BuildKit's flags |
//! | `buildctl` | [`buildctl`]: the client, under BuildKit's flags |
#![allow(unreachable_pub, reason = "nothing of a binary is reachable")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this crate is what talks to people")]

mod arguments;
mod build;
mod buildctl;
mod buildkitd;
mod connect;
mod content;
mod credentials;
mod daemon;
mod debug;
mod dial_stdio;
mod disk_usage;
mod environment;
mod error;
mod filters;
mod format;
mod fsck;
mod history;
mod names;
mod progress;
mod prune;
mod tls;
mod version;
mod why;
mod workers;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, DebugCommand};
use crate::error::Failure;
use crate::names::Program;

fn main() -> ExitCode {
    // Before anything else: a step's helper must be single-threaded.
    slipway_run::main_if_helper();
    let outcome = match names::program(std::env::args_os()) {
        (Program::Slipway, words) => run(Arguments::parse_from(words)),
        (Program::Buildkitd, words) => buildkitd::run(words),
        (Program::Buildctl, words) => buildctl::run(words),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code)
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { connection, command } = arguments;
    if let Command::Daemon(options) = command {
        return daemon::run(&connection, *options);
    }
    if let Command::Debug { command: DebugCommand::Fsck(options) } = &command {
        return fsck::run(&connection, options);
    }
    in_runtime(async {
        match command {
            Command::Build(options) => build::run(&connection, *options).await,
            Command::Du(options) => disk_usage::run(&connection, options).await,
            Command::Prune(options) => prune::run(&connection, options).await,
            Command::Why(options) => why::run(&connection, options).await,
            Command::History { command } => history::run(&connection, command).await,
            Command::DialStdio => dial_stdio::run(&connection).await,
            Command::Debug { command } => debug::run(&connection, command).await,
            Command::Daemon(_) => Ok(()),
        }
    })
}

/// Runs a client's command.
fn in_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(command);
    // A read of standard input that never ends must not keep the process.
    runtime.shutdown_background();
    outcome
}
