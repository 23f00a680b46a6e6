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
        if is_lower(keyword) {
            lower += 1;
        } else if is_upper(keyword) {
            upper += 1;
        }
    }
    for (keyword, ranges) in keywords(stages) {
        let (is_right, casing) = match lower > upper {
            true => (is_lower(keyword), "lowercase"),
            false => (is_upper(keyword), "uppercase"),
        };
        if !is_right {
            let message =
                format!("Command '{keyword}' should match the case of the command majority ({casing})");
            linter.report(&RULE, Place { ranges, comments: &[] }, message);
        }
    }
}

fn is_lower(keyword: &str) -> bool {
    keyword.chars().all(|c| c.to_lowercase().eq([c]))
}

fn is_upper(keyword: &str) -> bool {
    keyword.chars().all(|c| c.to_uppercase().eq([c]))
}

fn keywords(stages: &[Stage]) -> impl Iterator<Item = (&str, &[Range])> {
    stages.iter().flat_map(|stage| {
        let instructions = stage.instructions.iter();
        std::iter::once((stage.from.keyword.as_str(), stage.ranges.as_slice())).chain(
            instructions.map(|instruction| (instruction.keyword.as_str(), instruction.ranges.as_slice())),
        )
    })
}
