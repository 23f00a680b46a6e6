//! Exports, looked at with other people's programs.

mod archives;
mod image;
mod support;
mod trees;
