//! `FROM a as b`: the two keywords in different casing.

use super::{Linter, Rule};
use crate::dockerfile::Stage;

pub static RULE: Rule = Rule::new(
    "FromAsCasing",
    "https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
    "The 'as' keyword should match the case of the 'from' keyword",
);

/// A `FROM` that mixes cases itself is for another rule.
pub fn check(stage: &Stage, linter: &mut Linter) {
    let Some(alias) = &stage.from.alias else { return };
    let (from, keyword) = (&stage.from.keyword, &alias.keyword);
    let matches = if *from == from.to_lowercase() {
        *keyword == keyword.to_lowercase()
    } else if *from == from.to_uppercase() {
        *keyword == keyword.to_uppercase()
    } else {
        true
    };
    if !matches {
        let message = format!("'{keyword}' and '{from}' keywords' casing do not match");
        linter.report(&RULE, stage.into(), message);
    }
}
