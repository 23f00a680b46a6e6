//! `FROM a AS Build`: stage names are compared without case.

use super::{Linter, Place, Rule};
use crate::dockerfile::Stage;

pub static RULE: Rule = Rule::new(
    "StageNameCasing",
    "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
    "Stage names should be lowercase",
);

pub fn check(stage: &Stage, linter: &mut Linter) {
    if let Some(alias) = &stage.from.alias {
        check_name(&alias.name, stage.into(), linter);
    }
}

pub(super) fn check_name(name: &str, place: Place<'_>, linter: &mut Linter) {
    if name != name.to_lowercase() {
        linter.report(&RULE, place, format!("Stage name '{name}' should be lowercase"));
    }
}
