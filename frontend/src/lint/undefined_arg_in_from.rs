//! `FROM a:$TAG` without an `ARG TAG`.

use super::{Linter, Rule};
use std::collections::BTreeSet;

use crate::dockerfile::{Stage, closest};

pub static RULE: Rule = Rule::new(
    "UndefinedArgInFrom",
    "https://docs.docker.com/go/dockerfile/rule/undefined-arg-in-from/",
    "FROM command must use declared ARGs",
);

/// `unmatched`: what the lexer did not find in a base or platform. `declared`: all that may be used.
pub fn check(
    stage: &Stage,
    unmatched: &BTreeSet<String>,
    is_declared: &dyn Fn(&str) -> bool,
    declared: &[&str],
    linter: &mut Linter,
) {
    for name in unmatched.iter().filter(|name| !is_declared(name)) {
        let mut message = format!("FROM argument '{name}' is not declared");
        if linter.may_compare(declared.len())
            && let Some(similar) = closest(name, declared, true)
        {
            message.push_str(&format!(" (did you mean {similar}?)"));
        }
        linter.report(&RULE, stage.into(), message);
    }
}
