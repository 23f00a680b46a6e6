//! Errors on their way to the client: a message, a code, and the details that clients know how to show.
//!
//! Details are what BuildKit sends (`google.rpc.Status` in the trailer): the vertex that failed and the
//! places in source files that it came from, as JSON under their Go type names.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use prost::Message;
use serde_json::json;
use slipway_frontend::ErrorSource;
use slipway_model::llb;
use slipway_model::llb::pb;
use slipway_proto::errdefs::solve::Subject;
use slipway_proto::policy::PolicyAction;
use slipway_proto::{errdefs, json, rpc, stack};
use slipway_solver::{VertexDigest, with_causes};
use slipway_worker::policy::{PolicyError, Refused};
use slipway_worker::remains::{Part, Remains, Remnant};
use slipway_worker::{Value, ops};
use tonic::{Code, Status};

use crate::bridge::{Reference, Refs};

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    vertex: Option<String>,
    sources: Vec<ErrorSource>,
    /// Details that a client brought, passed on as they are.
    details: Vec<prost_types::Any>,
    /// The operation that failed, and what it left behind, until somebody has given that names.
    broken: Option<Broken>,
    /// Where in this program it was noticed.
    noticed: &'static Location<'static>,
}

#[derive(Clone, Debug)]
struct Broken {
    op: Option<Box<pb::Op>>,
    description: BTreeMap<String, String>,
    remains: Arc<Remains>,
}

impl Failure {
    #[track_caller]
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            vertex: None,
            sources: Vec::new(),
            details: Vec::new(),
            broken: None,
            noticed: Location::caller(),
        }
    }

    #[track_caller]
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    #[track_caller]
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    #[track_caller]
    pub(crate) fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new(Code::Unimplemented, format!("{what} is not supported"))
    }

    #[track_caller]
    pub(crate) fn cancelled() -> Self {
        Self::new(Code::Cancelled, "the build was cancelled: context canceled")
    }

    #[track_caller]
    pub(crate) fn session_lost() -> Self {
        Self::new(Code::Cancelled, "the client's session ended before the build")
    }

    /// A capability that a frontend does not say it has.
    #[track_caller]
    pub(crate) fn unsupported_capability(name: &str) -> Self {
        let detail = detail("errdefs.FrontendCap+json", json!({ "name": name }).to_string());
        Self::new(Code::Unimplemented, format!("unsupported frontend capability {name}"))
            .with_details(vec![detail])
    }

    /// With all causes in the message.
    #[track_caller]
    pub(crate) fn from_error(error: impl std::error::Error) -> Self {
        Self::new(Code::Unknown, with_causes(&error))
    }

    #[track_caller]
    pub(crate) fn from_worker(error: slipway_worker::Error) -> Self {
        if matches!(error, slipway_worker::Error::Cancelled) {
            return Self::cancelled();
        }
        Self::new(code_of(&error), with_causes(&error)).with_details(denials(&error))
    }

    /// A source of `definition` that may not be used, and which lines of which file asked for it.
    pub(crate) fn refused(refused: Refused, definition: &pb::Definition) -> Self {
        let Refused { vertex, error } = refused;
        let is_policy = matches!(error, slipway_worker::Error::Policy(_));
        let mut failure = Self::from_worker(error);
        if is_policy {
            failure = failure.context("error evaluating the source policy");
        }
        failure.sources =
            definition.source.as_ref().map(|source| sources_of(&vertex, source)).unwrap_or_default();
        failure.vertex = Some(vertex);
        failure
    }

    /// A graph that could not be solved: what failed, and which lines of which file asked for it.
    #[track_caller]
    pub(crate) fn solving(error: slipway_solver::Error, definition: &llb::Definition) -> Self {
        if matches!(error, slipway_solver::Error::Cancelled) {
            return Self::cancelled();
        }
        let cause = error.find::<slipway_worker::Error>().map(slipway_worker::Error::parts);
        let (cause, remains) = cause.unzip();
        let mut failure = Self::new(cause.map_or(Code::Unknown, code_of), error.reason());
        failure.details.extend(cause.map(denials).unwrap_or_default());
        if let Some(slipway_worker::Error::Exit { code, .. }) = cause {
            failure.details.push(exit_detail(u32::try_from(*code).unwrap_or(u32::MAX)));
        }
        if let Some(vertex) = error.vertex() {
            let name = vertex.to_string();
            failure.sources = sources_of(&name, &definition.source);
            failure.broken = remains.flatten().map(|remains| Broken::new(vertex, definition, remains));
            failure.vertex = Some(name);
        }
        failure
    }

    /// Gives names to what the operation left behind, under which a frontend may mount it. Blocks.
    pub(crate) fn name_remains(mut self, refs: &Refs) -> Self {
        let Some(Broken { op, description, remains }) = self.broken.take() else { return self };
        let name = |value: Option<Value>| {
            value.map_or(Ok(String::new()), |value| refs.name(Some(Reference::of(value))))
        };
        let inputs = remains.inputs.iter().cloned().map(name).collect::<Result<_, _>>();
        let tree = |tree: &Option<Remnant>| name(tree.as_ref().and_then(|tree| tree.value().ok()));
        let mounts = remains.trees.iter().map(tree).collect::<Result<_, _>>();
        let (Ok(input_i_ds), Ok(mount_i_ds)) = (inputs, mounts) else { return self };
        let index = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
        let subject = match remains.part {
            Part::Process => None,
            Part::Action(at) => Some(Subject::File(errdefs::FileAction { index: index(at) })),
            Part::Content(at) => Some(Subject::Cache(errdefs::ContentCache { index: index(at) })),
        };
        let op = op.map(|op| *op);
        let solve = errdefs::Solve { input_i_ds, mount_i_ds, op, description, subject };
        let json = json::canonical("errdefs.Solve", &solve).to_string();
        self.details.push(detail("errdefs.Solve+json", json));
        self
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

    #[track_caller]
    pub(crate) fn into_status(self) -> Status {
        let code = self.code;
        let status = self.into_wire();
        Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
    }

    /// With its details, as they go over the wire.
    #[track_caller]
    pub(crate) fn into_wire(self) -> rpc::Status {
        let places = [self.noticed, Location::caller()];
        let mut details: Vec<prost_types::Any> = places.into_iter().map(trace).collect();
        details.extend(self.sources.into_iter().map(source));
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
        slipway_worker::Error::Locked(_) => Code::FailedPrecondition,
        slipway_worker::Error::Policy(PolicyError::Denied(_) | PolicyError::NotAllowed { .. }) => {
            Code::PermissionDenied
        }
        _ => Code::Unknown,
    }
}

/// What the client's own session has to say about a source that it does not allow.
fn denials(error: &slipway_worker::Error) -> Vec<prost_types::Any> {
    let slipway_worker::Error::Policy(PolicyError::NotAllowed { messages, .. }) = error else {
        return Vec::new();
    };
    let messages: Vec<_> = messages.iter().map(|deny| json!({ "message": deny.message })).collect();
    let decision = json!({ "action": PolicyAction::Deny as i32, "denyMessages": messages });
    vec![detail("policysession.DecisionResponse+json", decision.to_string())]
}

/// How a process ended, for clients that end the same way.
pub(crate) fn exit_detail(code: u32) -> prost_types::Any {
    detail("gatewayapi.ExitMessage+json", json!({ "Code": code }).to_string())
}

impl Broken {
    fn new(vertex: VertexDigest, definition: &llb::Definition, remains: &Arc<Remains>) -> Self {
        let vertices = definition.head.iter().flat_map(|(head, _)| ops::post_order(head));
        let vertex = vertices.into_iter().find(|known| known.digest.0 == vertex.0);
        Self {
            op: vertex.as_ref().map(|vertex| Box::new(vertex.op.clone())),
            description: vertex.map(|vertex| vertex.metadata.description.clone()).unwrap_or_default(),
            remains: remains.clone(),
        }
    }
}

/// One frame of a trace, as clients show it when they are asked for more.
fn trace(place: &'static Location<'static>) -> prost_types::Any {
    let frame = stack::Frame {
        name: "slipway".into(),
        file: place.file().to_owned(),
        line: i32::try_from(place.line()).unwrap_or(i32::MAX),
    };
    let stack = stack::Stack {
        frames: vec![frame],
        cmdline: vec!["slipway".into()],
        pid: i32::try_from(std::process::id()).unwrap_or(i32::MAX),
        version: crate::version::VERSION.to_owned(),
        revision: String::new(),
    };
    detail("stack.Stack+json", json::go("stack.Stack", &stack).to_string())
}

fn source(ErrorSource { info, ranges }: ErrorSource) -> prost_types::Any {
    let source = errdefs::Source { info: Some(info), ranges };
    detail("errdefs.Source+json", json::go("errdefs.Source", &source).to_string())
}

/// The last that was named comes first: it is the innermost for those who wrap errors.
fn sources_of(vertex: &str, source: &pb::Source) -> Vec<ErrorSource> {
    let locations =
        source.locations.get(vertex).map(|locations| &locations.locations[..]).unwrap_or_default();
    let found = locations.iter().rev().filter_map(|location| {
        let index = usize::try_from(location.source_index).ok()?;
        Some(ErrorSource { info: source.infos.get(index)?.clone(), ranges: location.ranges.clone() })
    });
    found.collect()
}

/// `kind`: the name of a Go type, with its encoding.
pub(crate) fn detail(kind: &str, json: String) -> prost_types::Any {
    prost_types::Any { type_url: format!("github.com/moby/buildkit/{kind}"), value: json.into_bytes() }
}
