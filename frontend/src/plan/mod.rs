//! What of a Dockerfile takes part in a build, and which files of the context it may see.

pub mod git_url;
pub mod ignore;
