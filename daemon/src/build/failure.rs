//! Errors on their way to the client: a message, a code, and the details that clients know how to show.
//!
//! Details are what BuildKit sends (`google.rpc.Status` in the trailer): the vertex that failed and the
//! places in source files that it came from, as JSON under their Go type names.

use base64::Engine as _;
use prost::Message;
use serde_json::{Value as Json, json};
use slipway_model::llb;
use slipway_model::llb::pb;
use slipway_proto::rpc;
use slipway_solver::with_causes;
use tonic::{Code, Status};

#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    vertex: Option<String>,
    sources: Vec<(pb::SourceInfo, Vec<pb::Range>)>,
    /// Details that a client brought, passed on as they are.
    details: Vec<prost_types::Any>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), vertex: None, sources: Vec::new(), details: Vec::new() }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(crate) fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new(Code::Unimplemented, format!("{what} is not supported"))
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(Code::Cancelled, "the build was cancelled")
    }

    pub(crate) fn session_lost() -> Self {
        Self::new(Code::Cancelled, "the client's session ended before the build")
    }

    /// With all causes in the message.
    pub(crate) fn from_error(error: impl std::error::Error) -> Self {
        Self::new(Code::Unknown, with_causes(&error))
    }

    /// A graph that could not be solved: what failed, and which lines of which file asked for it.
    pub(crate) fn solving(error: slipway_solver::Error, definition: &llb::Definition) -> Self {
        if matches!(error, slipway_solver::Error::Cancelled) {
            return Self::cancelled();
        }
        let mut failure = Self::new(code_of(&error), error.reason());
        if let Some(vertex) = error.vertex().map(|vertex| vertex.to_string()) {
            failure.sources = sources_of(&vertex, &definition.source);
            failure.vertex = Some(vertex);
        }
        failure
    }

    pub(crate) fn with_source(mut self, info: pb::SourceInfo, ranges: Vec<pb::Range>) -> Self {
        self.sources.push((info, ranges));
        self
    }

    pub(crate) fn with_details(mut self, details: Vec<prost_types::Any>) -> Self {
        self.details = details;
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn into_status(self) -> Status {
        let mut details: Vec<prost_types::Any> = self
            .sources
            .iter()
            .map(|(info, ranges)| detail("errdefs.Source+json", &source_json(info, ranges)))
            .collect();
        details.extend(self.details);
        if let Some(vertex) = &self.vertex {
            details.push(detail("errdefs.Vertex+json", &json!({ "digest": vertex })));
        }
        let status = rpc::Status { code: self.code.into(), message: self.message.clone(), details };
        Status::with_details(self.code, self.message, status.encode_to_vec().into())
    }
}

fn code_of(error: &slipway_solver::Error) -> Code {
    match error.find::<slipway_worker::Error>() {
        Some(slipway_worker::Error::NotAllowed(_)) => Code::PermissionDenied,
        Some(slipway_worker::Error::Unsupported(_)) => Code::Unimplemented,
        Some(slipway_worker::Error::Invalid { .. }) => Code::InvalidArgument,
        _ => Code::Unknown,
    }
}

fn sources_of(vertex: &str, source: &pb::Source) -> Vec<(pb::SourceInfo, Vec<pb::Range>)> {
    let locations =
        source.locations.get(vertex).map(|locations| &locations.locations[..]).unwrap_or_default();
    let found = locations.iter().filter_map(|location| {
        let index = usize::try_from(location.source_index).ok()?;
        Some((source.infos.get(index)?.clone(), location.ranges.clone()))
    });
    found.collect()
}

/// `kind`: the name of a Go type, with its encoding.
pub(crate) fn detail(kind: &str, json: &Json) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("github.com/moby/buildkit/{kind}"),
        value: json.to_string().into_bytes(),
    }
}

fn source_json(info: &pb::SourceInfo, ranges: &[pb::Range]) -> Json {
    let position = |position: Option<pb::Position>| json!({ "line": position.unwrap_or_default().line });
    let range = |range: &pb::Range| json!({ "start": position(range.start), "end": position(range.end) });
    json!({
        "info": {
            "filename": info.filename,
            "data": base64::engine::general_purpose::STANDARD.encode(&info.data),
            "language": info.language,
        },
        "ranges": ranges.iter().map(range).collect::<Vec<_>>(),
    })
}
