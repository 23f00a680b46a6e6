//! Two stages of one name.

use super::{Linter, Place, Rule};
use std::collections::HashSet;

use crate::dockerfile::Stage;
use slipway_model::quote::quoted;

pub static RULE: Rule = Rule::new(
    "DuplicateStageName",
    "https://docs.docker.com/go/dockerfile/rule/duplicate-stage-name/",
    "Stage names should be unique",
);

/// The names seen so far.
#[derive(Default)]
pub struct Names<'a>(HashSet<&'a str>);

impl<'a> Names<'a> {
    pub fn check(&mut self, stage: &'a Stage, linter: &mut Linter) {
        if !stage.name.is_empty() && !self.0.insert(&stage.name) {
            let name = quoted(&stage.name);
            let message = format!("Duplicate stage name {name}, stage names should be unique");
            linter.report(&RULE, Place { ranges: &stage.ranges, comments: &[] }, message);
        }
    }
}
