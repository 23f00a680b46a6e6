//! A second `CMD`, `ENTRYPOINT` or `HEALTHCHECK`: the first has no effect.

use super::{Linter, Place, Rule};
use std::collections::HashMap;

use crate::dockerfile::{Command, Instruction, Range};

pub static RULE: Rule = Rule::new(
    "MultipleInstructionsDisallowed",
    "https://docs.docker.com/go/dockerfile/rule/multiple-instructions-disallowed/",
    "Multiple instructions of the same type should not be used in the same stage",
);

/// Where each kind stood last in a stage.
#[derive(Default)]
pub struct Seen<'a>(HashMap<&'static str, &'a [Range]>);

impl<'a> Seen<'a> {
    /// Points at the earlier instruction, which is the useless one.
    pub fn check(&mut self, instruction: &'a Instruction, linter: &mut Linter) {
        if !matches!(instruction.command, Command::Cmd(_) | Command::Entrypoint(_) | Command::HealthCheck(_))
        {
            return;
        }
        if let Some(ranges) = self.0.insert(instruction.command.name(), &instruction.ranges) {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                instruction.keyword
            );
            linter.report(&RULE, Place { ranges, comments: &instruction.comments }, message);
        }
    }
}
