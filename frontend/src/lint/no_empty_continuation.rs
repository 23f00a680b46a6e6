//! An empty line inside a continued instruction.

use super::{Linter, Place, Rule};
use crate::dockerfile::{Dockerfile, Warning};

pub static RULE: Rule = Rule::new(
    "NoEmptyContinuation",
    "https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/",
    "Empty continuation lines will become errors in a future release",
);

pub fn check(dockerfile: &Dockerfile, linter: &mut Linter) {
    for warning in &dockerfile.warnings {
        let Warning::EmptyContinuation { range, .. } = warning;
        let place = Place { ranges: &[*range], comments: &[] };
        linter.report(&RULE, place, "Empty continuation line".to_owned());
    }
}
