//! The operations: how each is cached, and what it does to a tree.

pub mod cache_key;
pub mod file;
