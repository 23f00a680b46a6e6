//! Arguments that hold before the first `FROM`.

use std::collections::{BTreeMap, BTreeSet};

use slipway_model::Platform;

use super::outline::Capture;
use super::progress::format_all;
use super::state::Environment;
use crate::dockerfile::instruction::{Arg, Argument};
use crate::dockerfile::shell::Lexer;
use crate::dockerfile::{Command, Dockerfile, Instruction};
use crate::error::Failure;

/// What a file may use without declaring it; a build argument of the same name wins.
pub(super) fn defaults(
    build: &Platform,
    target: &Platform,
    given: &BTreeMap<String, String>,
    stage: &str,
) -> Environment {
    let values = [
        ("BUILDPLATFORM", build.slug()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", build.os_version.clone()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", build.variant.clone()),
        ("TARGETPLATFORM", format_all(target)),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", target.os_version.clone()),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", target.variant.clone()),
        ("TARGETSTAGE", if stage.is_empty() { "default" } else { stage }.to_owned()),
    ];
    let mut environment = Environment::default();
    for (key, value) in values {
        environment.set(key, given.get(key).cloned().unwrap_or(value));
    }
    environment
}

/// Each value may use those before it.
pub(super) fn add_global(
    dockerfile: &Dockerfile,
    lexer: &Lexer,
    given: &BTreeMap<String, String>,
    environment: &mut Environment,
    mut outline: Option<&mut Capture>,
) -> Result<(), Failure> {
    for instruction in &dockerfile.global_args {
        for argument in arguments(instruction) {
            let (value, depends) = match (given.get(&argument.key), &argument.value) {
                (Some(given), _) => (Some(given.clone()), BTreeSet::new()),
                (None, Some(default)) => {
                    let expanded = lexer.process_word(default, environment);
                    let expanded = expanded.map_err(|error| Failure::from(error).at(&instruction.ranges))?;
                    (Some(expanded.text), expanded.matched)
                }
                (None, None) => (None, BTreeSet::new()),
            };
            if let Some(outline) = outline.as_deref_mut() {
                outline.add_global(argument, value.as_deref(), depends, &instruction.ranges);
            }
            if let Some(value) = value {
                environment.set(&argument.key, value);
            }
        }
    }
    Ok(())
}

pub(super) fn declared(dockerfile: &Dockerfile) -> BTreeSet<String> {
    dockerfile.global_args.iter().flat_map(arguments).map(|argument| argument.key.clone()).collect()
}

fn arguments(instruction: &Instruction) -> &[Argument] {
    match &instruction.command {
        Command::Arg(Arg(arguments)) => arguments,
        _ => &[],
    }
}
