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
mod watch;

pub(crate) use collector::{Collector, Traces};
pub(crate) use metrics::Metrics;
pub(crate) use server::serve;
pub(crate) use spans::Parent;
pub(crate) use watch::{BuildCount, watch};
