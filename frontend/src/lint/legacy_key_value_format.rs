//! `ENV a b` in place of `ENV a=b`.

use super::{Linter, Rule};
use crate::dockerfile::instruction::{Env, Label};
use crate::dockerfile::{Command, Instruction};

pub static RULE: Rule = Rule::new(
    "LegacyKeyValueFormat",
    "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/",
    "Legacy key/value format with whitespace separator should not be used",
);

pub fn check(instruction: &Instruction, linter: &mut Linter) {
    let (Command::Env(Env(pairs)) | Command::Label(Label(pairs))) = &instruction.command else { return };
    for _ in pairs.iter().filter(|pair| pair.legacy) {
        let keyword = &instruction.keyword;
        let message = format!(
            "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
        );
        linter.report(&RULE, instruction.into(), message);
    }
}
