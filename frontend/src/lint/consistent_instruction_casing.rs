//! Keywords in another casing than most of the file.

use super::{Linter, Place, Rule};
use crate::dockerfile::{Range, Stage};

pub static RULE: Rule = Rule::new(
    "ConsistentInstructionCasing",
    "https://docs.docker.com/go/dockerfile/rule/consistent-instruction-casing/",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
);

/// Keywords of mixed case do not vote; a tie is for capitals.
pub fn check(stages: &[Stage], linter: &mut Linter) {
    let (mut lower, mut upper) = (0, 0);
    for (keyword, _) in keywords(stages) {
        if keyword == keyword.to_lowercase() {
            lower += 1;
        } else if keyword == keyword.to_uppercase() {
            upper += 1;
        }
    }
    for (keyword, ranges) in keywords(stages) {
        let (right, casing) = match lower > upper {
            true => (keyword.to_lowercase(), "lowercase"),
            false => (keyword.to_uppercase(), "uppercase"),
        };
        if keyword != right {
            let message =
                format!("Command '{keyword}' should match the case of the command majority ({casing})");
            linter.report(&RULE, Place { ranges, comments: &[] }, message);
        }
    }
}

fn keywords(stages: &[Stage]) -> impl Iterator<Item = (&str, &[Range])> {
    stages.iter().flat_map(|stage| {
        let instructions = stage.instructions.iter();
        std::iter::once((stage.from.keyword.as_str(), stage.ranges.as_slice())).chain(
            instructions.map(|instruction| (instruction.keyword.as_str(), instruction.ranges.as_slice())),
        )
    })
}
