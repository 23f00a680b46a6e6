//! A source of `COPY` or `ADD` that `.dockerignore` hides.

use slipway_model::lexical::clean_text;
use slipway_model::pattern::{PatternError, PatternMatcher};

use super::{Linter, Rule};
use crate::dockerfile::{Command, Instruction};
use slipway_model::quote::quoted;

pub static RULE: Rule = Rule::new(
    "CopyIgnoredFile",
    "https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/",
    "Attempting to Copy file that is excluded by .dockerignore",
);

/// `source` of the build context, expanded. With exceptions among the patterns nothing can be told.
pub fn check(
    instruction: &Instruction,
    source: &str,
    ignored: &PatternMatcher,
    linter: &mut Linter,
) -> Result<(), PatternError> {
    if ignored.has_exclusions() {
        return Ok(());
    }
    let source = clean_text(source);
    if matches!(source.as_str(), "." | "/") && !ignored.ignores_root() {
        return Ok(());
    }
    if ignored.matches(&source)? {
        let verb = if matches!(instruction.command, Command::Add(_)) { "Add" } else { "Copy" };
        let source = quoted(source);
        let message = format!("Attempting to {verb} file {source} that is excluded by .dockerignore");
        linter.report(&RULE, instruction.into(), message);
    }
    Ok(())
}
