//! Black-box tests: the `slipway` binary over its socket, with real servers around it.
//!
//! `tests/*.rs` hold the tests, a theme for each file. This is what they are made of:
//!
//! | file | holds |
//! |---|---|
//! | `binary` | where the binary under test is |
//! | `daemon` | one daemon with a state directory of its own |
//! | `build` | one `slipway build`, spelled as a person would |
//! | `guest` | a client that is a frontend itself |
//! | `host` | a network of a test's own |
//! | `process` | a program that is running, and what came of it |
//! | `progress` | what plain progress says about each step |
//! | `crashes` | a daemon that is killed wherever it changes a file |
//! | `leftovers` | mounts and processes that should be gone |
//! | `project` | a folder with a Dockerfile |
//! | `archive` | a tar, read back |
//! | `attestations` | what is said about an image |
//! | `wire` | the daemon's services, called with whatever messages a test likes |
//! | `containerd` | Debian's containerd, for the worker on it |
//! | `base_images`, `registry`, `fake` | images to build on, and servers to fetch them from |
//! | `object_stores` | places for caches: S3, Azure, GitHub Actions |
//! | `readers` | what skopeo says about what was made |
//! | `static_program` | programs for images that hold nothing else |
//! | `git` | repositories and a server for them |
//! | `web` | a small web server that keeps what it was asked |
//! | `command` | running programs, for tests and `xtask` |
//!
//! Every test has its own daemon, folders and ports, and leaves none of them behind, whether it passes or
//! not. The `Drop` of a [`Daemon`] is itself a check: a mount or a process that outlives it fails the test.
//!
//! Absent on purpose: anything that knows the inside of the rooms. What cannot be seen from the outside is
//! tested in its room.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a harness says why a test is skipped")]

pub mod archive;
pub mod attestations;
pub mod base_images;
mod binary;
mod build;
pub mod command;
mod containerd;
pub mod crashes;
mod daemon;
mod fake;
pub mod full_store;
pub mod git;
pub mod golden_caches;
pub mod guest;
pub mod host;
pub mod leftovers;
pub mod object_stores;
mod process;
mod progress;
mod project;
pub mod readers;
pub mod registry;
pub mod static_program;
pub mod web;
pub mod wire;

pub use binary::{slipway, use_binary};
pub use build::Build;
pub use containerd::Containerd;
pub use daemon::{Daemon, DaemonOptions};
pub use fake::Fake;
pub use process::{Outcome, Running, eventually};
pub use progress::{End, Progress};
pub use project::Project;
pub use registry::Registry;
pub use rustix::process::Signal;

/// Ends the test if one of the programs is not installed, and says so.
#[macro_export]
macro_rules! needs {
    ($($program:literal),+) => {
        for program in [$($program),+] {
            if !$crate::command::exists(program) {
                println!("skipped: {program} is not installed");
                return;
            }
        }
    };
}
