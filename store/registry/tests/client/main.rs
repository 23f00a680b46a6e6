//! The client against registries: the fake, which misbehaves on demand, and Debian's real one.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "everything here is a test, its helpers too")]

mod auth;
mod distribution;
mod faults;
mod pull;
mod push;
mod resolve;
mod support;
mod tls;
