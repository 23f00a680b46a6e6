//! Collects what the rules find.

use std::collections::BTreeSet;

use super::config::Config;
use super::rule::{Finding, Rule};
use crate::dockerfile::{Instruction, Range, Stage};
use slipway_model::quote::quoted;

#[derive(Clone, Debug, Default)]
pub struct Linter {
    config: Config,
    findings: Vec<Finding>,
    /// Lines that all findings together are about.
    places: usize,
    /// Names that were compared with others.
    compared: usize,
}

/// One instruction of very many lines may break very many rules; then the first findings will do.
const MOST_PLACES: usize = 1 << 17;

/// Looking for what is similar to each of very many unknown names takes very long.
const MOST_COMPARED: usize = 1 << 20;

/// Where a rule is broken: the lines, and the comments above them, which may skip rules.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub ranges: &'a [Range],
    pub comments: &'a [String],
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LintError {
    #[error("invalid check option {}", quoted(.0))]
    UnknownOption(String),
    #[error(
        "failed to parse check option {}: strconv.ParseBool: parsing {}: invalid syntax",
        quoted(.option),
        quoted(.value)
    )]
    NotBoolean { option: String, value: String },
    #[error("lint violation found for rules: {0}")]
    Violations(String),
}

impl Linter {
    pub fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }

    pub fn report(&mut self, rule: &'static Rule, place: Place<'_>, message: String) {
        if self.places < MOST_PLACES && self.config.allows(rule, place.comments) {
            self.places += place.ranges.len();
            self.findings.push(Finding { rule, message, ranges: place.ranges.to_vec() });
        }
    }

    /// Whether `names` more may be compared with one.
    pub fn may_compare(&mut self, names: usize) -> bool {
        self.compared = self.compared.saturating_add(names);
        self.compared <= MOST_COMPARED
    }

    /// No name may be compared any more.
    pub fn has_compared_enough(&self) -> bool {
        self.compared > MOST_COMPARED
    }

    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    /// Fails if there are findings and the file asks for that.
    pub fn verdict(&self) -> Result<(), LintError> {
        if !self.config.findings_are_errors || self.findings.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<&str> = self.findings.iter().map(|finding| finding.rule.name).collect();
        Err(LintError::Violations(names.into_iter().collect::<Vec<_>>().join(", ")))
    }
}

impl<'a> From<&'a Instruction> for Place<'a> {
    fn from(instruction: &'a Instruction) -> Self {
        Self { ranges: &instruction.ranges, comments: &instruction.comments }
    }
}

impl<'a> From<&'a Stage> for Place<'a> {
    fn from(stage: &'a Stage) -> Self {
        Self { ranges: &stage.ranges, comments: &stage.comments }
    }
}
