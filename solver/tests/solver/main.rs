//! The solver from outside: what runs, what is loaded, what is told. Things are counted, so that
//! what must not happen is seen when it does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cancel;
mod errors;
mod imports;
mod lookup;
mod progress;
mod random;
mod sharing;
mod sub_builds;
mod traces;
mod world;
