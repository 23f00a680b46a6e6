//! What of a Dockerfile takes part in a build, and which files of the context it may see.

pub mod ignore;
