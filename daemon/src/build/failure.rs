//! Errors on their way to the client: a message, a code, and the details that clients know how to show.
//!
//! Details are what BuildKit sends (`google.rpc.Status` in the trailer): the vertex that failed and the
//! places in source files that it came from, as JSON under their Go type names.

use prost::Message;
use serde_json::json;
use slipway_frontend::ErrorSource;
use slipway_model::llb;
use slipway_model::llb::pb;
use slipway_proto::rpc;
use slipway_solver::with_causes;
use tonic::{Code, Status};

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    vertex: Option<String>,
    sources: Vec<ErrorSource>,
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

    /// A capability that a frontend does not say it has.
    pub(crate) fn unsupported_capability(name: &str) -> Self {
        let detail = detail("errdefs.FrontendCap+json", json!({ "name": name }).to_string());
        Self::new(Code::Unimplemented, format!("unsupported frontend capability {name}"))
            .with_details(vec![detail])
    }

    /// With all causes in the message.
    pub(crate) fn from_error(error: impl std::error::Error) -> Self {
        Self::new(Code::Unknown, with_causes(&error))
    }

    pub(crate) fn from_worker(error: slipway_worker::Error) -> Self {
        if matches!(error, slipway_worker::Error::Cancelled) {
            return Self::cancelled();
        }
        Self::new(code_of(&error), with_causes(&error))
    }

    /// A graph that could not be solved: what failed, and which lines of which file asked for it.
    pub(crate) fn solving(error: slipway_solver::Error, definition: &llb::Definition) -> Self {
        if matches!(error, slipway_solver::Error::Cancelled) {
            return Self::cancelled();
        }
        let cause = error.find::<slipway_worker::Error>();
        let mut failure = Self::new(cause.map_or(Code::Unknown, code_of), error.reason());
        if let Some(slipway_worker::Error::Exit { code, .. }) = cause {
            failure.details.push(exit_detail(u32::try_from(*code).unwrap_or(u32::MAX)));
        }
        if let Some(vertex) = error.vertex().map(|vertex| vertex.to_string()) {
            failure.sources = sources_of(&vertex, &definition.source);
            failure.vertex = Some(vertex);
        }
        failure
    }

    pub(crate) fn with_source(mut self, info: pb::SourceInfo, ranges: Vec<pb::Range>) -> Self {
        self.sources.push(ErrorSource { info, ranges });
        self
    }

    pub(crate) fn context(mut self, before: impl std::fmt::Display) -> Self {
        self.message = format!("{before}: {}", self.message);
        self
    }

    pub(crate) fn has_source(&self) -> bool {
        let is_source = |detail: &prost_types::Any| detail.type_url.ends_with("errdefs.Source+json");
        !self.sources.is_empty() || self.details.iter().any(is_source)
    }

    pub(crate) fn with_details(mut self, details: Vec<prost_types::Any>) -> Self {
        self.details = details;
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn into_status(self) -> Status {
        let code = self.code;
        let status = self.into_wire();
        Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
    }

    /// With its details, as they go over the wire.
    pub(crate) fn into_wire(self) -> rpc::Status {
        let mut details: Vec<prost_types::Any> =
            self.sources.iter().map(|source| detail("errdefs.Source+json", source.to_json())).collect();
        details.extend(self.details);
        if let Some(vertex) = &self.vertex {
            details.push(detail("errdefs.Vertex+json", json!({ "digest": vertex }).to_string()));
        }
        rpc::Status { code: self.code.into(), message: self.message, details }
    }
}

fn code_of(error: &slipway_worker::Error) -> Code {
    match error {
        slipway_worker::Error::NotAllowed(_) => Code::PermissionDenied,
        slipway_worker::Error::Unsupported(_) => Code::Unimplemented,
        slipway_worker::Error::Invalid { .. } => Code::InvalidArgument,
        _ => Code::Unknown,
    }
}

/// How a process ended, for clients that end the same way.
pub(crate) fn exit_detail(code: u32) -> prost_types::Any {
    detail("gatewayapi.ExitMessage+json", json!({ "Code": code }).to_string())
}

fn sources_of(vertex: &str, source: &pb::Source) -> Vec<ErrorSource> {
    let locations =
        source.locations.get(vertex).map(|locations| &locations.locations[..]).unwrap_or_default();
    let found = locations.iter().filter_map(|location| {
        let index = usize::try_from(location.source_index).ok()?;
        Some(ErrorSource { info: source.infos.get(index)?.clone(), ranges: location.ranges.clone() })
    });
    found.collect()
}

/// `kind`: the name of a Go type, with its encoding.
pub(crate) fn detail(kind: &str, json: String) -> prost_types::Any {
    prost_types::Any { type_url: format!("github.com/moby/buildkit/{kind}"), value: json.into_bytes() }
}
