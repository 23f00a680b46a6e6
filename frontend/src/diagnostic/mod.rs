//! What is wrong with a file, for people and for editors: which characters, what was expected, what
//! may have been meant.
//!
//! The wire knows messages and whole lines, in the reference's words. A [`Diagnostic`] adds to them
//! and replaces nothing: the message stays the one that users search for.
//!
//! | adds | from |
//! |---|---|
//! | column and length | `focus`: the word that the message quotes, looked up in the lines it names |
//! | what was expected | `expected`: known for each kind of fault |
//! | all other errors of the file | the parser, which goes on behind an instruction that is wrong |
//!
//! [`Diagnostic::text`] draws one with its lines; serialized, it is what an editor needs.

mod excerpt;
mod expected;
mod focus;

use serde::{Deserialize, Serialize};
use slipway_model::llb::pb;

use crate::dockerfile::{self, Fault, Range};
use crate::error::Failure;
use crate::lint::Finding;

/// One thing to tell about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The lint rule; errors have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// In the reference's words.
    pub message: String,
    pub file: String,
    /// The first character that is meant; line 0 if no place in the file is.
    pub start: Place,
    /// Behind the last one.
    pub end: Place,
    /// What would be right.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// The known name that is nearest to what is written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suggestion: String,
    /// A page about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// Lines and columns count from 1; columns are characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// Errors that are told beside the first.
const MOST_OTHERS: usize = 100;

impl Diagnostic {
    pub(crate) fn of_failure(failure: &Failure, info: Option<&pb::SourceInfo>) -> Vec<Self> {
        let ranges = failure.places.first().map(Vec::as_slice).unwrap_or_default();
        let first = Self::new(Severity::Error, failure.message.clone(), ranges, info)
            .explained(failure.fault.as_ref(), ranges, info)
            .or_suggestion(&failure.suggestion);
        // Whoever sees so many looks for one cause.
        let others = failure.others.iter().take(MOST_OTHERS);
        std::iter::once(first).chain(others.map(|error| Self::of_error(error, info))).collect()
    }

    fn of_error(error: &dockerfile::Error, info: Option<&pb::SourceInfo>) -> Self {
        Self::new(Severity::Error, error.to_string(), &error.ranges, info).explained(
            Some(&error.fault),
            &error.ranges,
            info,
        )
    }

    pub(crate) fn of_finding(finding: &Finding, info: &pb::SourceInfo) -> Self {
        Self {
            rule: finding.rule.name.to_owned(),
            url: finding.rule.url.to_owned(),
            expected: finding.rule.description.to_owned(),
            ..Self::new(Severity::Warning, finding.message.clone(), &finding.ranges, Some(info))
        }
    }

    fn new(severity: Severity, message: String, ranges: &[Range], info: Option<&pb::SourceInfo>) -> Self {
        let (start, end) = info.and_then(|info| focus::of(&message, ranges, &info.data)).unwrap_or_default();
        Self {
            severity,
            rule: String::new(),
            message,
            file: info.map(|info| info.filename.clone()).unwrap_or_default(),
            start,
            end,
            expected: String::new(),
            suggestion: String::new(),
            url: String::new(),
        }
    }

    fn explained(mut self, fault: Option<&Fault>, ranges: &[Range], info: Option<&pb::SourceInfo>) -> Self {
        let Some(mut fault) = fault else { return self };
        if let Fault::Suggestion { fault: inner, suggestion } = fault {
            self.suggestion.clone_from(suggestion);
            fault = inner;
        }
        let keyword = info.and_then(|info| focus::keyword(ranges, &info.data)).unwrap_or_default();
        self.expected = expected::of(fault, &keyword);
        self
    }

    fn or_suggestion(mut self, suggestion: &str) -> Self {
        if self.suggestion.is_empty() {
            suggestion.clone_into(&mut self.suggestion);
        }
        self
    }
}
