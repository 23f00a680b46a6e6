//! `EXPOSE 127.0.0.1:80:80`: an image cannot choose what a host does.

use super::{Linter, Rule};
use crate::dockerfile::Instruction;
use crate::dockerfile::instruction::PortWord;

pub static RULE: Rule = Rule::new(
    "ExposeInvalidFormat",
    "https://docs.docker.com/go/dockerfile/rule/expose-invalid-format/",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
);

/// `written` is the word expanded, `word` what it was read as.
pub fn check(instruction: &Instruction, written: &str, word: &PortWord<'_>, linter: &mut Linter) {
    if word.has_host() {
        let message = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{written}'"
        );
        linter.report(&RULE, instruction.into(), message);
    }
}
