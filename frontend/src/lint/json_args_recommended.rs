//! `CMD` or `ENTRYPOINT` in shell form: the shell gets the signals.

use super::{Linter, Rule};
use crate::dockerfile::{Command, Instruction};

pub static RULE: Rule = Rule::new(
    "JSONArgsRecommended",
    "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
);

/// Whoever set a `SHELL` has chosen: `shell_is_set` is whether the image has one.
pub fn check(instruction: &Instruction, shell_is_set: bool, linter: &mut Linter) {
    let (Command::Cmd(line) | Command::Entrypoint(line)) = &instruction.command else { return };
    if line.prepend_shell && !shell_is_set {
        let message = format!(
            "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
            instruction.keyword
        );
        linter.report(&RULE, instruction.into(), message);
    }
}
