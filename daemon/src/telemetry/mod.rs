//! What the daemon tells about itself to machines: numbers, in Prometheus' form.
//!
//! Nobody asks for it, nobody pays for it: steps are watched only if a debug address is configured. A build
//! is watched as a client watches it, through `Status`, so nothing here knows how a build works.
//!
//! No text of a build becomes part of a number's name or label: names of steps hold arguments, and those may
//! hold secrets. Labels are words of this module.

mod metrics;
mod server;
mod watch;

pub(crate) use metrics::Metrics;
pub(crate) use server::serve;
pub(crate) use watch::{BuildCount, watch};
