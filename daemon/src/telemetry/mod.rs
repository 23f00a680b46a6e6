//! What the daemon tells about itself to machines: numbers, in Prometheus' form, and traces, in
//! OpenTelemetry's.
//!
//! No build waits for it: what is told of one is read from its log when its client has the answer ([`ended`]).
//!
//! No text of a build becomes part of a number's name or label, and little of a span: names of steps hold arguments,
//! and those may hold secrets. Labels are words of this module.

mod collector;
mod ended;
mod metrics;
mod page;
mod server;
mod spans;
mod stub;

pub(crate) use collector::{Collector, Traces};
pub(crate) use ended::{BuildCount, Facts, tell, trace_from_log};
pub(crate) use metrics::Metrics;
pub(crate) use server::serve;
pub(crate) use spans::Parent;
