//! Parsing, lowering and linting files of a thousand instructions, in process.
//!
//! `cargo bench -p slipway-frontend`: the least and the median of a hundred rounds. The least is what other programs
//! disturb least. Nothing is asserted all the same.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a bench ends in its report

#[path = "../tests/memory/mod.rs"]
mod memory;

use std::time::{Duration, Instant};

const ROUNDS: usize = 100;

fn main() {
    let lint = [("requestid", "frontend.lint")];
    for (name, file, options) in [
        ("one service on another", services(), &[][..]),
        ("stages apart", stages(), &[][..]),
        ("settings", settings(), &[][..]),
        ("stages apart, lint only", stages(), &lint[..]),
    ] {
        let builder = memory::dockerfile(&file);
        let mut rounds: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                let result = memory::run(&builder, options);
                let took = start.elapsed();
                // What was built is somebody's; that it is let go is not part of building it.
                drop(result.unwrap());
                took
            })
            .collect();
        rounds.sort();
        let (lines, bytes) = (file.lines().count(), file.len());
        println!(
            "{name}: {lines} instructions, {bytes} bytes: least {:?}, median {:?}",
            rounds[0],
            rounds[ROUNDS / 2]
        );
    }
}

/// Ten stages, each built on the one before, so that the last command has three hundred variables.
fn services() -> String {
    let mut file = String::new();
    for stage in 0..10 {
        let base = if stage == 0 { "debian:13".to_owned() } else { format!("stage{}", stage - 1) };
        file.push_str(&format!("FROM {base} AS stage{stage}\n"));
        for step in 0..33 {
            file.push_str(&format!("ENV NAME_{stage}_{step}=value-{step}\n"));
            file.push_str(&format!("COPY --chown=1:1 src/{step} /srv/${{NAME_{stage}_{step}}}/\n"));
            file.push_str(&format!("RUN --mount=type=cache,target=/cache make step-{step}\n"));
        }
    }
    file
}

/// Twenty stages that a last one copies from.
fn stages() -> String {
    let mut file = String::new();
    for stage in 0..20 {
        file.push_str(&format!("FROM scratch AS s{stage}\n"));
        for step in 0..48 {
            file.push_str(&match step % 4 {
                0 => {
                    format!("RUN --mount=type=cache,target=/c{step} cmd{step} --flag=${{X}} && other{step}\n")
                }
                1 => format!("COPY a{step} b{step} /dst{step}/\n"),
                2 => format!("ENV V{step}=val{step}\n"),
                _ => format!("WORKDIR /w{step}\n"),
            });
        }
    }
    file.push_str("FROM scratch\n");
    (0..20).for_each(|stage| file.push_str(&format!("COPY --from=s{stage} / /o{stage}\n")));
    file
}

/// Nothing but the image config.
fn settings() -> String {
    let mut file = "FROM scratch\nARG NONCE=0\nWORKDIR /w\n".to_owned();
    for step in 0..997 {
        file.push_str(&match step % 5 {
            0 => format!("LABEL l{step}=\"${{NONCE}}-{step}\"\n"),
            1 => format!("ARG A{step}=v{step}\n"),
            2 => format!("ENV E{}=${{NONCE}}{step}\n", step % 60),
            3 => format!("EXPOSE {}\n", 1000 + step),
            _ => format!("CMD [\"x\", \"{step}\"]\n"),
        });
    }
    file
}
