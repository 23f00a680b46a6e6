//! `FROM a as b`: the two keywords in different casing.

use super::{Linter, Place, Rule};
use crate::dockerfile::Stage;

pub static RULE: Rule = Rule::new(
    "FromAsCasing",
    "https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
    "The 'as' keyword should match the case of the 'from' keyword",
);

pub fn check(stage: &Stage, linter: &mut Linter) {
    if let Some(alias) = &stage.from.alias {
        check_keywords(&stage.from.keyword, &alias.keyword, stage.into(), linter);
    }
}

/// A `FROM` that mixes cases itself is for another rule.
pub(super) fn check_keywords(from: &str, keyword: &str, place: Place<'_>, linter: &mut Linter) {
    let matches = if from == from.to_lowercase() {
        keyword == keyword.to_lowercase()
    } else if from == from.to_uppercase() {
        keyword == keyword.to_uppercase()
    } else {
        true
    };
    if !matches {
        linter.report(&RULE, place, format!("'{keyword}' and '{from}' keywords' casing do not match"));
    }
}
