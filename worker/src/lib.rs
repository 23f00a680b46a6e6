//! What a build does: the operations of LLB as the solver sees them, and the sources they read.

pub mod ops;
