//! A variable that nothing sets.

use super::{Linter, Rule};
use std::collections::BTreeSet;

use crate::dockerfile::{Instruction, closest};

pub static RULE: Rule = Rule::new(
    "UndefinedVar",
    "https://docs.docker.com/go/dockerfile/rule/undefined-var/",
    "Variables should be defined before their use",
);

/// `unmatched`: what the lexer did not find; declared are the stage's `ARG`s, with or without a value;
/// `set`: names of its environment, for a suggestion.
pub fn check(
    instruction: &Instruction,
    unmatched: &BTreeSet<String>,
    is_declared: &dyn Fn(&str) -> bool,
    set: &[&str],
    linter: &mut Linter,
) {
    // These steer the build and are no variables of it.
    let steers = |name: &str| matches!(name, "BUILDKIT_SBOM_SCAN_CONTEXT" | "BUILDKIT_SBOM_SCAN_STAGE");
    for name in unmatched.iter().filter(|name| !is_declared(name) && !steers(name)) {
        let mut message = format!("Usage of undefined variable '${name}'");
        if linter.may_compare(set.len())
            && let Some(similar) = closest(name, set, true)
        {
            message.push_str(&format!(" (did you mean ${similar}?)"));
        }
        linter.report(&RULE, instruction.into(), message);
    }
}
