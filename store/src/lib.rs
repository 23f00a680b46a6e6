//! Where bytes rest: content, trees, layers, and what is known about them.

pub mod content_hash;
