//! Where trees come from.

pub mod image;
pub mod local;
