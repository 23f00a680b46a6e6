//! The solver from outside: what runs, what is loaded, what is told. Things are counted, so that
//! what must not happen is seen when it does.

mod cancel;
mod errors;
mod imports;
mod lookup;
mod progress;
mod random;
mod sharing;
mod sub_builds;
mod world;
