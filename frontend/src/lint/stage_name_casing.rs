//! `FROM a AS Build`: stage names are compared without case.

use super::{Linter, Rule};
use crate::dockerfile::Stage;

pub static RULE: Rule = Rule::new(
    "StageNameCasing",
    "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
    "Stage names should be lowercase",
);

pub fn check(stage: &Stage, linter: &mut Linter) {
    if let Some(alias) = stage.from.alias.as_ref().filter(|alias| alias.name != alias.name.to_lowercase()) {
        linter.report(&RULE, stage.into(), format!("Stage name '{}' should be lowercase", alias.name));
    }
}
