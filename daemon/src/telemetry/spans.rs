//! Spans of one build: one for the build, one for each piece of a step, and below it what the solver spent its time
//! on and what was transferred.
//!
//! Names of steps hold arguments, and those may hold secrets. What leaves is the stage and the first word
//! (`[build 2/3] RUN`), digests, whether it was cached and whether it failed; never an error's text.

use std::collections::HashMap;
use std::time::SystemTime;

use slipway_model::Digest;
use slipway_proto::control::{StatusResponse, Vertex, VertexStatus};
use slipway_proto::otlp::common::KeyValue;
use slipway_proto::otlp::common::any_value::Value;
use slipway_proto::otlp::trace::span::SpanKind;
use slipway_proto::otlp::trace::status::StatusCode;
use slipway_proto::otlp::trace::{Span, Status};
use slipway_solver::Spent;
use tonic::metadata::MetadataMap;

use super::collector::{attribute, text};

/// Spans beyond are left out.
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
    /// How many pieces there are of each vertex; the first has what is below the vertex.
    pieces: HashMap<String, usize>,
    spans: Vec<Span>,
    /// What is below a vertex, with its digest.
    below: Vec<(String, Span)>,
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
            pieces: HashMap::new(),
            spans: Vec::new(),
            below: Vec::new(),
        }
    }

    pub(super) fn hear(&mut self, news: &StatusResponse) {
        news.vertexes.iter().for_each(|vertex| self.piece(vertex));
        news.statuses.iter().for_each(|status| self.transfer(status));
    }

    /// A piece of a step that has ended.
    fn piece(&mut self, vertex: &Vertex) {
        let (Some(started), Some(completed)) = (vertex.started, vertex.completed) else { return };
        if self.is_full() {
            return;
        }
        let number = self.pieces.entry(vertex.digest.clone()).or_default();
        *number += 1;
        let id = id_of_piece(&self.own, &vertex.digest, *number);
        let attributes =
            vec![text("vertex", &vertex.digest), attribute("cached", Value::BoolValue(vertex.cached))];
        self.spans.push(Span {
            trace_id: self.trace.clone().into(),
            span_id: id.into(),
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

    /// A layer that came, files that were sent.
    fn transfer(&mut self, of: &VertexStatus) {
        let (Some(started), Some(completed)) = (of.started, of.completed) else { return };
        let (name, subject) = match of.id.split_whitespace().find(|word| word.parse::<Digest>().is_ok()) {
            Some(digest) => (public_transfer(&of.id), vec![text("digest", digest)]),
            None => (public_transfer(&of.id), Vec::new()),
        };
        self.add_below(&of.vertex, name, nanoseconds(started), nanoseconds(completed), subject);
    }

    /// What the solver spent on one vertex.
    pub(super) fn spent(&mut self, vertex: &str, spent: &Spent) {
        for span in &spent.phases {
            let began = nanoseconds(span.began.into());
            let took = u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX);
            self.add_below(vertex, span.phase.name(), began, began.saturating_add(took), Vec::new());
        }
    }

    fn add_below(
        &mut self,
        vertex: &str,
        name: &str,
        start_time_unix_nano: u64,
        end_time_unix_nano: u64,
        attributes: Vec<KeyValue>,
    ) {
        if self.is_full() {
            return;
        }
        let span = Span {
            trace_id: self.trace.clone().into(),
            span_id: random(8).into(),
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano,
            end_time_unix_nano,
            attributes,
            status: Some(status(false)),
            ..Span::default()
        };
        self.below.push((vertex.to_owned(), span));
    }

    fn is_full(&self) -> bool {
        self.spans.len() + self.below.len() >= MOST
    }

    /// All spans, the build's own last: from the beginning of the first to the end of the last.
    pub(super) fn end(mut self) -> Vec<Span> {
        let has_failed =
            |span: &Span| span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
        let failed = self.spans.iter().any(has_failed);
        for (vertex, mut span) in self.below {
            // What was begun for a vertex that was never shown is the build's.
            span.parent_span_id = match self.pieces.contains_key(&vertex) {
                true => id_of_piece(&self.own, &vertex, 1).into(),
                false => self.own.clone().into(),
            };
            self.spans.push(span);
        }
        let now = nanoseconds(SystemTime::now().into());
        let began = self.spans.iter().map(|span| span.start_time_unix_nano).min().unwrap_or(now);
        let ended = self.spans.iter().map(|span| span.end_time_unix_nano).max().unwrap_or(now);
        self.spans.push(Span {
            trace_id: self.trace.into(),
            span_id: self.own.into(),
            parent_span_id: self.parent.into(),
            name: "build".into(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: began,
            end_time_unix_nano: ended,
            attributes: vec![text("build", &self.build)],
            status: Some(status(failed)),
            ..Span::default()
        });
        self.spans
    }
}

/// Known before the piece has ended.
fn id_of_piece(build: &[u8], vertex: &str, number: usize) -> Vec<u8> {
    let digest = Digest::of([build, vertex.as_bytes(), &number.to_le_bytes()].concat());
    digest.as_bytes().iter().copied().take(8).collect()
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

/// Some of these are names of files or layers.
fn public_transfer(id: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "copying",
        "exporting",
        "extracting",
        "preparing",
        "pulling",
        "pushing",
        "resolving",
        "sending",
        "unpacking",
        "writing",
    ];
    let word = id.split_whitespace().next().unwrap_or_default();
    KNOWN.into_iter().find(|known| *known == word).unwrap_or("transfer")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slipway_solver::{Phase, PhaseSpan};

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
    fn steps_are_below_their_build_and_phases_below_their_step() {
        let mut spans = Spans::begin("b", None);
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 1 });
        let error = "password=s3cret".to_owned();
        let vertex = |digest: &str| Vertex { digest: digest.into(), started: at(1), ..Vertex::default() };
        let status = |id: &str| VertexStatus {
            id: id.into(),
            vertex: "one".into(),
            started: at(1),
            completed: at(3),
            ..VertexStatus::default()
        };
        spans.hear(&StatusResponse {
            vertexes: vec![Vertex { completed: at(2), error, ..vertex("one") }, vertex("two")],
            statuses: vec![status("sending s3cret"), VertexStatus { completed: None, ..status("open") }],
            ..StatusResponse::default()
        });
        let took = Duration::from_secs(1);
        let phases = vec![PhaseSpan { phase: Phase::Run, began: SystemTime::UNIX_EPOCH, took }];
        spans.spent("one", &Spent { phases, imported: false });
        let spans = spans.end();
        assert_eq!(
            spans.iter().map(|span| &*span.name).collect::<Vec<_>>(),
            ["step", "sending", "run", "build"]
        );
        assert_eq!(spans[0].parent_span_id, spans[3].span_id);
        assert_eq!(spans[0].end_time_unix_nano, 2_000_000_001);
        assert!(spans[1..3].iter().all(|span| span.parent_span_id == spans[0].span_id));
        assert_eq!((spans[3].start_time_unix_nano, spans[3].end_time_unix_nano), (0, 3_000_000_001));
        assert!(!format!("{spans:?}").contains("s3cret"));
    }
}
