//! A base image that is none unless the user passes an argument.

use super::{Linter, Place, Rule};
use slipway_model::Reference;

use crate::dockerfile::instruction::{Arg, Argument};
use crate::dockerfile::shell::{EnvironmentList, Lexer};
use crate::dockerfile::{Command, Dockerfile, Instruction};

pub static RULE: Rule = Rule::new(
    "InvalidDefaultArgInFrom",
    "https://docs.docker.com/go/dockerfile/rule/invalid-default-arg-in-from/",
    "Default value for global ARG results in an empty or invalid base image name",
);

/// `predefined`: `KEY=value` of the arguments that are there without an `ARG`, platforms foremost.
///
/// A file whose words do not lex fails elsewhere; here it has no findings.
pub fn check(dockerfile: &Dockerfile, predefined: &[String], linter: &mut Linter) {
    let lexer = Lexer::new(dockerfile.escape);
    let mut environment: EnvironmentList = predefined.iter().collect();
    for argument in dockerfile.global_args.iter().flat_map(arguments) {
        let Some(value) = &argument.value else { continue };
        let Ok(value) = lexer.process(value, &environment) else { return };
        environment.set(&argument.key, value.text);
    }
    for stage in &dockerfile.stages {
        let Ok(base) = lexer.process(&stage.from.base, &environment) else { return };
        if base.text.parse::<Reference>().is_err() {
            let message = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                stage.from.base
            );
            linter.report(&RULE, Place { ranges: &stage.ranges, comments: &[] }, message);
        }
    }
}

fn arguments(instruction: &Instruction) -> &[Argument] {
    match &instruction.command {
        Command::Arg(Arg(arguments)) => arguments,
        _ => &[],
    }
}
