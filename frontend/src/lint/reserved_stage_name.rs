//! A stage named like something that is always there.

use super::{Linter, Place, Rule};
use crate::dockerfile::Stage;
use slipway_model::quote::quoted;

pub static RULE: Rule = Rule::new(
    "ReservedStageName",
    "https://docs.docker.com/go/dockerfile/rule/reserved-stage-name/",
    "Reserved words should not be used as stage names",
);

pub fn check(stage: &Stage, linter: &mut Linter) {
    if matches!(stage.name.as_str(), "context" | "scratch") {
        let name = quoted(&stage.name);
        let message = format!("Stage name should not use the same name as reserved stage {name}");
        linter.report(&RULE, Place { ranges: &stage.ranges, comments: &[] }, message);
    }
}
