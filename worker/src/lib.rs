//! (placeholder)

pub mod source;
