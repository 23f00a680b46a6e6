//! Why a build has no graph, and which lines are to blame.
//!
//! The texts are the reference's, word for word: tools and users search for them.

use std::any::Any;

use base64::Engine as _;
use serde_json::json;
use slipway_model::llb::pb;

use crate::diagnostic::Diagnostic;
use crate::dockerfile::{self, Fault, Range};

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub message: String,
    /// Innermost place first; empty for what is wrong with options.
    pub sources: Vec<ErrorSource>,
    /// The same once more with all that is known about it, and the file's other errors.
    pub diagnostics: Vec<Diagnostic>,
    /// What of the request is not supported; clients then try something else.
    pub unsupported: Option<Unsupported>,
}

/// Clients look for these by kind, not by words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A request that builds nothing, by its id.
    Request(String),
    /// A capability that the client needs the frontend to have.
    Capability(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ErrorSource {
    pub info: pb::SourceInfo,
    pub ranges: Vec<pb::Range>,
}

impl ErrorSource {
    /// JSON, as clients look for it in the details of a status (`errdefs.Source`).
    pub fn to_json(&self) -> String {
        let position = |position: Option<pb::Position>| json!({ "line": position.unwrap_or_default().line });
        let range = |range: &pb::Range| json!({ "start": position(range.start), "end": position(range.end) });
        let source = json!({
            "info": {
                "filename": self.info.filename,
                "data": base64::engine::general_purpose::STANDARD.encode(&self.info.data),
                "language": self.info.language,
            },
            "ranges": self.ranges.iter().map(range).collect::<Vec<_>>(),
        });
        source.to_string()
    }
}

/// An error on its way up: each level may add where it happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) places: Vec<Vec<Range>>,
    /// What it was made of, if it was one.
    pub(crate) fault: Option<Fault>,
    pub(crate) suggestion: String,
    /// Other errors of the file.
    pub(crate) others: Vec<dockerfile::Error>,
    pub(crate) unsupported: Option<Unsupported>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    pub(crate) fn unsupported(what: Unsupported) -> Self {
        let message = match &what {
            Unsupported::Request(id) => format!("unsupported request {id}"),
            Unsupported::Capability(name) => format!("unsupported frontend capability {name}"),
        };
        Self { unsupported: Some(what), ..Self::new(message) }
    }

    /// Of a file: the first error counts, the others are told with it.
    pub(crate) fn of_file(errors: Vec<dockerfile::Error>) -> Option<Self> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(Self { others: errors.collect(), ..parse_failure(&first) })
    }

    /// Adds a place; those known already stay before it.
    pub(crate) fn at(mut self, ranges: &[Range]) -> Self {
        self.places.push(ranges.to_vec());
        self
    }

    /// The one place that counts.
    pub(crate) fn only_at(mut self, ranges: &[Range]) -> Self {
        self.places = vec![ranges.to_vec()];
        self
    }

    pub(crate) fn context(mut self, before: impl std::fmt::Display) -> Self {
        self.message = format!("{before}: {}", self.message);
        self
    }

    pub(crate) fn suggest(mut self, word: &str, options: &[&str]) -> Self {
        if let Some(similar) = dockerfile::closest(word, options, true) {
            self.message.push_str(&format!(" (did you mean {similar}?)"));
            self.suggestion = similar;
        }
        self
    }

    pub(crate) fn into_error(self, info: Option<&pb::SourceInfo>) -> Error {
        let source =
            |ranges: &Vec<Range>| Some(ErrorSource { info: info?.clone(), ranges: wire_ranges(ranges) });
        Error {
            sources: self.places.iter().filter_map(source).collect(),
            diagnostics: Diagnostic::of_failure(&self, info),
            message: self.message,
            unsupported: self.unsupported,
        }
    }
}

impl<F: std::fmt::Display + 'static> From<F> for Failure {
    fn from(error: F) -> Self {
        let fault = (&error as &dyn Any).downcast_ref::<Fault>().cloned();
        Self { fault, ..Self::new(error.to_string()) }
    }
}

pub(crate) fn parse_failure(error: &dockerfile::Error) -> Failure {
    Failure { fault: Some(error.fault.clone()), ..Failure::new(error.to_string()) }.at(&error.ranges)
}

pub(crate) fn wire_ranges(ranges: &[Range]) -> Vec<pb::Range> {
    let position = |position: dockerfile::Position| {
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        Some(pb::Position { line: number(position.line), character: number(position.character) })
    };
    ranges.iter().map(|range| pb::Range { start: position(range.start), end: position(range.end) }).collect()
}
