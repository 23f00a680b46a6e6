//! The wire types of BuildKit's protocols and of containerd's, generated from the `.proto` files beside this crate.
//!
//! They are facts of the protocol (names and field numbers): no behaviour lives here, but for how
//! messages are written as JSON. Rooms above wrap what they use; only LLB operations are used as they are, because their
//! serialised bytes *are* the identity of a vertex (see `slipway_model::llb`).
#![allow(clippy::all, missing_docs, unreachable_pub)]

pub mod json;

mod generated {
    include!(concat!(env!("OUT_DIR"), "/all.rs"));
}

/// What containerd serves. Its content service is also ours, and that of clients.
pub mod containerd {
    pub use super::generated::containerd::runc::v1 as runc;
    pub use super::generated::containerd::services::containers::v1 as containers;
    pub use super::generated::containerd::services::diff::v1 as diff;
    pub use super::generated::containerd::services::events::v1 as events;
    pub use super::generated::containerd::services::images::v1 as images;
    pub use super::generated::containerd::services::introspection::v1 as introspection;
    pub use super::generated::containerd::services::leases::v1 as leases;
    pub use super::generated::containerd::services::snapshots::v1 as snapshots;
    pub use super::generated::containerd::services::tasks::v1 as tasks;
    pub use super::generated::containerd::types;
}
pub use generated::containerd::services::content::v1 as content;
pub use generated::errdefs;
pub use generated::fsutil::types as fsutil;
pub use generated::google::rpc;
pub use generated::grpc::health::v1 as health;
pub use generated::moby::buildkit::secrets::v1 as secrets;
pub use generated::moby::buildkit::v1 as control;
pub use generated::moby::buildkit::v1::apicaps;
pub use generated::moby::exporter::v1 as exporter;
pub use generated::moby::filesync::v1 as filesync;
pub use generated::moby::sshforward::v1 as ssh;
pub use generated::moby::upload::v1 as upload;
/// Traces, as OpenTelemetry's protocol hands them on.
pub mod otlp {
    pub use super::generated::opentelemetry::proto::collector::trace::v1 as collector;
    pub use super::generated::opentelemetry::proto::common::v1 as common;
    pub use super::generated::opentelemetry::proto::resource::v1 as resource;
    pub use super::generated::opentelemetry::proto::trace::v1 as trace;
}
pub use generated::moby::buildkit::v1::sourcepolicy as policy;
pub use generated::pb;
pub use generated::slipway::v1 as explain;
pub use generated::stack;

/// What a client says about sources when it is asked.
pub use generated::moby::buildkit::v1::sourcepolicy::policysession;

/// What a frontend may ask of the builder (`LLBBridge`).
pub use generated::moby::buildkit::v1::frontend as gateway;
