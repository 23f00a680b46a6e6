//! A first `WORKDIR` that depends on the base image's.

use super::{Linter, Rule};
use crate::dockerfile::Instruction;
use slipway_model::quote::quoted;

pub static RULE: Rule = Rule::new(
    "WorkdirRelativePath",
    "https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
);

/// For the first `WORKDIR` of a stage and the stages it is built on; `path` has its variables expanded. What is
/// absolute depends on the stage's system.
pub fn check(instruction: &Instruction, path: &str, is_absolute: bool, linter: &mut Linter) {
    if !is_absolute {
        let path = quoted(path);
        let message =
            format!("Relative workdir {path} can have unexpected results if the base image changes");
        linter.report(&RULE, instruction.into(), message);
    }
}
