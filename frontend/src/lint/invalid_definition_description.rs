//! A comment above a stage or argument that does not describe it.

use super::{Linter, Place, Rule};
use crate::dockerfile::instruction::Arg;
use crate::dockerfile::{Command, Instruction, Stage};

pub static RULE: Rule = Rule {
    experimental: true,
    ..Rule::new(
        "InvalidDefinitionDescription",
        "https://docs.docker.com/go/dockerfile/rule/invalid-definition-description/",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    )
};

pub fn check_stage(stage: &Stage, linter: &mut Linter) {
    if !stage.name.is_empty() {
        check("FROM", &[&stage.name], stage.into(), linter);
    }
}

pub fn check_arg(instruction: &Instruction, linter: &mut Linter) {
    if let Command::Arg(Arg(arguments)) = &instruction.command {
        let keys: Vec<&str> = arguments.iter().map(|argument| argument.key.as_str()).collect();
        check("ARG", &keys, instruction.into(), linter);
    }
}

fn check(keyword: &str, keys: &[&str], place: Place<'_>, linter: &mut Linter) {
    let Some(comment) = place.comments.last() else { return };
    let first = comment.split(' ').next().unwrap_or_default();
    if keys.is_empty() || keys.contains(&first) {
        return;
    }
    let example = if let [key] = keys { key } else { "<arg_key>" };
    let message = format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    linter.report(&RULE, place, message);
}
