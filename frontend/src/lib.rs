//! From a Dockerfile to an LLB graph.
//!
//! `dockerfile` turns bytes into a syntax tree, `plan` decides what of it is needed, `lower` writes
//! the graph. Nothing here executes anything: what has to be known from outside is asked through a gateway.

mod build;
pub mod diagnostic;
pub mod dockerfile;
mod error;
mod gateway;
mod image;
pub mod lint;
mod lower;
mod named;
pub mod plan;
mod subrequest;

pub use build::{FrontendResult, Opened, OtherFrontend, PlatformResult, build, open};
pub use diagnostic::Diagnostic;
pub use dockerfile::{Extensions, Language};
pub use error::{Error, ErrorSource, Unsupported};
pub use gateway::{
    Facts, Gateway, GatewayError, ImageConfigRequest, OciLayout, ResolvedImage, Warning, commit_time,
};
pub use named::{NamedSource, named_source};
