//! What of a Dockerfile takes part in a build, and which files of the context it may see.

pub(crate) mod context;
pub mod git_url;
pub mod ignore;
pub(crate) mod include;
mod limits;
pub(crate) mod named_context;
pub(crate) mod options;
