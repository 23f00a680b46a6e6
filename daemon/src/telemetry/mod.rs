//! What the daemon tells about itself to machines: numbers, in Prometheus' form, and traces, in
//! OpenTelemetry's.
//!
//! Nobody asks for it, nobody pays for it: steps are watched only if a debug address or a collector is configured. A build
//! is watched as a client watches it, through `Status`, so nothing here knows how a build works.
//!
//! No text of a build becomes part of a number's name or label, and little of a span: names of steps hold arguments, and those may
//! hold secrets. Labels are words of this module.

mod collector;
mod metrics;
mod server;
mod spans;
mod stubs;
mod watch;

pub(crate) use collector::{Collector, Traces};
pub(crate) use metrics::Metrics;
pub(crate) use server::serve;
pub(crate) use spans::Parent;
pub(crate) use stubs::MEDIA_TYPE as TRACE_TYPE;
pub(crate) use watch::{BuildCount, watch};

/// The trace of a build that has ended, of what its log says, for its record ([`TRACE_TYPE`]).
pub(crate) fn trace_of_past<'a>(
    build: &str,
    started: std::time::SystemTime,
    ended: std::time::SystemTime,
    vertices: impl Iterator<Item = &'a slipway_proto::control::Vertex>,
) -> Vec<u8> {
    let mut spans = spans::Spans::of_past(build, started);
    vertices.for_each(|vertex| spans.step(vertex));
    stubs::write(&spans.end_at(ended))
}
