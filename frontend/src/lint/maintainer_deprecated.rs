//! `MAINTAINER`: a label says the same.

use super::{Linter, Place, Rule};
use crate::dockerfile::{Command, Instruction};

pub static RULE: Rule = Rule::new(
    "MaintainerDeprecated",
    "https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
);

pub fn check(instruction: &Instruction, linter: &mut Linter) {
    if matches!(instruction.command, Command::Maintainer(_)) {
        check_keyword(instruction.into(), linter);
    }
}

pub(super) fn check_keyword(place: Place<'_>, linter: &mut Linter) {
    let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
    linter.report(&RULE, place, message);
}
