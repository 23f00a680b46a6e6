//! Parsing, lowering and linting a file of a thousand instructions, in process.
//!
//! `cargo bench -p slipway-frontend`: the least and the median of a hundred rounds. Nothing is asserted:
//! clocks of shared machines prove nothing.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a bench ends in its report

#[path = "../tests/memory/mod.rs"]
mod memory;

use std::time::{Duration, Instant};

const ROUNDS: usize = 100;

fn main() {
    let file = file();
    let builder = memory::dockerfile(&file);
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            memory::run(&builder, &[]).unwrap();
            start.elapsed()
        })
        .collect();
    rounds.sort();
    println!("{} instructions, {} bytes", file.lines().count(), file.len());
    println!("least {:?}, median {:?}", rounds[0], rounds[ROUNDS / 2]);
}

/// Ten stages of a hundred instructions, as builds of services have them.
fn file() -> String {
    let mut file = String::new();
    for stage in 0..10 {
        let base = if stage == 0 { "debian:13".to_owned() } else { format!("stage{}", stage - 1) };
        file.push_str(&format!("FROM {base} AS stage{stage}\n"));
        for step in 0..33 {
            file.push_str(&format!("ENV NAME_{stage}_{step}=value-$PATH\n"));
            file.push_str(&format!("COPY --chown=1:1 src/{step} /srv/${{NAME_{stage}_{step}}}/\n"));
            file.push_str(&format!("RUN --mount=type=cache,target=/cache make step-{step}\n"));
        }
    }
    file
}
