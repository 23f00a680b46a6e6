//! Exports, looked at with other people's programs.

// Helpers outside of test functions are not seen as tests by the lints.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod archives;
mod image;
mod support;
mod trees;
