//! Spans of one build: one for the build, one for each step and phase below it.
//!
//! Names of steps hold arguments, and those may hold secrets. What leaves is the stage and the first word
//! (`[build 2/3] RUN`), the digest, whether it was cached and whether it failed; never an error's text.

use std::time::SystemTime;

use slipway_proto::control::Vertex;
use slipway_proto::otlp::common::any_value::Value;
use slipway_proto::otlp::trace::span::SpanKind;
use slipway_proto::otlp::trace::status::StatusCode;
use slipway_proto::otlp::trace::{Span, Status};
use tonic::metadata::MetadataMap;

use super::collector::{attribute, text};

/// More steps than this are counted and not traced.
const MOST: usize = 20_000;

/// Which span of a client a build belongs to (W3C trace context).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    trace: Vec<u8>,
    span: Vec<u8>,
}

impl Parent {
    /// From `traceparent`; `None` if there is none, or it is none, or it asks not to be recorded.
    pub(crate) fn of(metadata: &MetadataMap) -> Option<Self> {
        let text = metadata.get("traceparent")?.to_str().ok()?;
        let mut fields = text.split('-');
        let (_version, trace, span) = (fields.next()?, fields.next()?, fields.next()?);
        let flags = hex(fields.next()?, 1)?;
        let parent = Self { trace: hex(trace, 16)?, span: hex(span, 8)? };
        let is_set = |bytes: &[u8]| bytes.iter().any(|byte| *byte != 0);
        (is_set(&parent.trace) && is_set(&parent.span) && flags[0] & 1 == 1).then_some(parent)
    }
}

fn hex(text: &str, length: usize) -> Option<Vec<u8>> {
    let pairs =
        text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Option<Vec<u8>> = pairs.collect();
    bytes.filter(|bytes| bytes.len() == length && text.is_ascii())
}

/// What is heard of one build.
pub(super) struct Spans {
    build: String,
    trace: Vec<u8>,
    own: Vec<u8>,
    parent: Vec<u8>,
    started: SystemTime,
    spans: Vec<Span>,
}

impl Spans {
    pub(super) fn begin(build: &str, parent: Option<Parent>) -> Self {
        let (trace, parent) = match parent {
            Some(parent) => (parent.trace, parent.span),
            None => (random(16), Vec::new()),
        };
        Self {
            build: build.to_owned(),
            trace,
            own: random(8),
            parent,
            started: SystemTime::now(),
            spans: Vec::new(),
        }
    }

    /// Of a build that began at `started`, some time ago.
    pub(super) fn of_past(build: &str, started: SystemTime) -> Self {
        Self { started, ..Self::begin(build, None) }
    }

    /// A piece of a step that has ended.
    pub(super) fn step(&mut self, vertex: &Vertex) {
        let (Some(started), Some(completed)) = (vertex.started, vertex.completed) else { return };
        if self.spans.len() >= MOST {
            return;
        }
        let attributes =
            vec![text("vertex", &vertex.digest), attribute("cached", Value::BoolValue(vertex.cached))];
        self.spans.push(Span {
            trace_id: self.trace.clone().into(),
            span_id: random(8).into(),
            parent_span_id: self.own.clone().into(),
            name: public_name(&vertex.name),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: nanoseconds(started),
            end_time_unix_nano: nanoseconds(completed),
            attributes,
            status: Some(status(!vertex.error.is_empty())),
            ..Span::default()
        });
    }

    /// All spans, the build's own last.
    pub(super) fn end(self) -> Vec<Span> {
        self.end_at(SystemTime::now())
    }

    pub(super) fn end_at(mut self, ended: SystemTime) -> Vec<Span> {
        let failed = self
            .spans
            .iter()
            .any(|span| span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error));
        self.spans.push(Span {
            trace_id: self.trace.into(),
            span_id: self.own.into(),
            parent_span_id: self.parent.into(),
            name: "build".into(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: nanoseconds(self.started.into()),
            end_time_unix_nano: nanoseconds(ended.into()),
            attributes: vec![text("build", &self.build)],
            status: Some(status(failed)),
            ..Span::default()
        });
        self.spans
    }
}

fn status(failed: bool) -> Status {
    let code = if failed { StatusCode::Error } else { StatusCode::Ok };
    Status { code: code.into(), message: String::new() }
}

fn nanoseconds(at: prost_types::Timestamp) -> u64 {
    let nanoseconds = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    u64::try_from(nanoseconds).unwrap_or(0)
}

/// Ids need to differ, no more.
fn random(length: usize) -> Vec<u8> {
    use std::hash::{BuildHasher, RandomState};
    let words = (0..length.div_ceil(8)).flat_map(|word| RandomState::new().hash_one(word).to_le_bytes());
    words.take(length).collect()
}

/// `[build 2/3] RUN make` is `[build 2/3] RUN`: the rest may hold what is nobody's business. Only words of
/// letters are told, so that a step that begins with a value does not tell it.
fn public_name(name: &str) -> String {
    let (stage, rest) = match name.strip_prefix('[').and_then(|inside| inside.split_once("] ")) {
        Some((stage, rest)) => (format!("[{stage}] "), rest),
        None => (String::new(), name),
    };
    let is_word = |word: &&str| {
        let known =
            ["ADD", "COPY", "RUN", "WORKDIR", "FROM", "load", "resolve", "exporting", "importing", "merging"];
        known.contains(word)
    };
    let word = rest.split_whitespace().next().filter(is_word).unwrap_or("step");
    format!("{stage}{word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_no_arguments() {
        assert_eq!(public_name("[build 2/3] RUN curl -H token"), "[build 2/3] RUN");
        assert_eq!(public_name("s3cret --x"), "step");
        assert_eq!(public_name("exporting to image"), "exporting");
        assert_eq!(public_name(""), "step");
    }

    #[test]
    fn a_client_may_be_the_parent() {
        let parent = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("traceparent", text.parse().unwrap());
            Parent::of(&metadata)
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let found = parent(&format!("00-{trace}-b7ad6b7169203331-01")).unwrap();
        assert_eq!((found.trace[0], found.span.len()), (0x0a, 8));
        for wrong in [
            format!("00-{trace}-b7ad6b7169203331-00"),
            format!("00-{trace}-0000000000000000-01"),
            "00-1-2-01".into(),
            "x".into(),
        ] {
            assert_eq!(parent(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn steps_are_below_their_build() {
        let mut spans = Spans::begin("b", None);
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 1 });
        let error = "password=s3cret".to_owned();
        spans.step(&Vertex { started: at(1), completed: at(2), error, ..Vertex::default() });
        spans.step(&Vertex { started: at(1), ..Vertex::default() });
        let spans = spans.end();
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[0].parent_span_id, spans[1].span_id);
        assert_eq!(spans[0].end_time_unix_nano, 2_000_000_001);
        assert!(!format!("{spans:?}").contains("s3cret"));
    }
}
