//! A source of `COPY` or `ADD` that `.dockerignore` hides.

use super::{Linter, Rule};
use crate::dockerfile::quote::quoted;
use crate::dockerfile::{Command, Instruction};
use crate::plan::ignore::{IgnoreError, PatternMatcher, clean};

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
) -> Result<(), IgnoreError> {
    if ignored.has_exceptions() {
        return Ok(());
    }
    let source = clean(source);
    if matches!(source.as_str(), "." | "/") && !ignored.ignores_root() {
        return Ok(());
    }
    if ignored.matches_or_parent_matches(&source)? {
        let verb = if matches!(instruction.command, Command::Add(_)) { "Add" } else { "Copy" };
        let source = quoted(source);
        let message = format!("Attempting to {verb} file {source} that is excluded by .dockerignore");
        linter.report(&RULE, instruction.into(), message);
    }
    Ok(())
}
