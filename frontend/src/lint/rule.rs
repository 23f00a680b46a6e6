//! What a rule is, and what it finds.

use crate::dockerfile::Range;

#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub name: &'static str,
    pub description: &'static str,
    /// Empty for rules without a page.
    pub url: &'static str,
    /// Off unless asked for by name or with `experimental=all`.
    pub experimental: bool,
}

impl Rule {
    pub(super) const fn new(name: &'static str, url: &'static str, description: &'static str) -> Self {
        Self { name, description, url, experimental: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static Rule,
    pub message: String,
    pub ranges: Vec<Range>,
}

impl Finding {
    /// As build warnings show it: `Rule: message (line 3)`.
    pub fn short(&self) -> String {
        match self.ranges.first().map(|range| range.start.line).filter(|line| *line > 0) {
            Some(line) => format!("{}: {} (line {line})", self.rule.name, self.message),
            None => format!("{}: {}", self.rule.name, self.message),
        }
    }
}
