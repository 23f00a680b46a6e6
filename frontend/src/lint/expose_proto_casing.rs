//! `EXPOSE 80/TCP`.

use super::{Linter, Rule};
use crate::dockerfile::Instruction;
use crate::dockerfile::instruction::PortWord;

pub static RULE: Rule = Rule::new(
    "ExposeProtoCasing",
    "https://docs.docker.com/go/dockerfile/rule/expose-proto-casing/",
    "Protocol in EXPOSE instruction should be lowercase",
);

/// `written` is the word expanded, `word` what it was read as.
pub fn check(instruction: &Instruction, written: &str, word: &PortWord<'_>, linter: &mut Linter) {
    if word.odd_casing {
        let message = format!("Defined protocol '{written}' in EXPOSE instruction should be lowercase");
        linter.report(&RULE, instruction.into(), message);
    }
}
