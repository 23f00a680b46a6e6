//! What can go wrong while an operation is loaded or runs.

use std::sync::Arc;

use slipway_model::llb::VertexDigest;

use crate::Remains;
use crate::ops::is_for_want_of_space;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid operation {vertex}: {reason}")]
    Invalid { vertex: VertexDigest, reason: String },
    #[error("{0} is not supported by this worker")]
    Unsupported(String),
    #[error("{0} is not allowed")]
    NotAllowed(&'static str),
    #[error("{0} requested by the build but not allowed")]
    DeviceNotAllowed(String),
    #[error("secret {0}: not found")]
    SecretNotFound(String),
    #[error("process {process:?} did not complete successfully: {end}")]
    Exit { process: String, end: String, code: i32 },
    #[error("{source}: no space is left for the build cache: prune it, or free some space")]
    DiskFull { source: Box<Error> },
    #[error("process {process:?} did not complete successfully: failed to create the container: {source}")]
    Start { process: String, source: slipway_run::Error },
    #[error("cannot run the process: {0}")]
    Run(#[source] slipway_run::Error),
    #[error(transparent)]
    Store(slipway_store::Error),
    #[error(transparent)]
    Image(crate::source::image::Error),
    #[error(transparent)]
    Content(#[from] slipway_store::content_hash::ContentHashError),
    /// In the words that people search for.
    #[error("failed to compute cache key: failed to calculate checksum of ref {of}: {source}")]
    Checksum { of: String, source: slipway_store::content_hash::ContentHashError },
    #[error(transparent)]
    File(#[from] crate::ops::file::FileError),
    #[error(transparent)]
    Layer(#[from] slipway_store::layer::LayerError),
    #[error(transparent)]
    Session(#[from] slipway_session::Error),
    #[error(transparent)]
    Policy(#[from] crate::policy::PolicyError),
    #[error(transparent)]
    Locked(#[from] crate::source::lock::LockError),
    #[error("cannot download {url}")]
    Download { url: String, source: Box<slipway_registry::Error> },
    #[error("{context}: {source}")]
    Io { context: String, source: std::io::Error },
    #[error("cancelled")]
    Cancelled,
    /// Any other error of an operation, with what the operation left behind.
    #[error("{source}")]
    WithRemains { source: Box<Error>, remains: Arc<Remains> },
    #[error("{0}")]
    Failed(String),
}

impl From<slipway_store::Error> for Error {
    fn from(error: slipway_store::Error) -> Self {
        Self::Store(error)
    }
}

impl Error {
    /// The error itself, and what the operation left behind.
    pub fn parts(&self) -> (&Self, Option<&Arc<Remains>>) {
        match self {
            Self::WithRemains { source, remains } => (source, Some(remains)),
            other => (other, None),
        }
    }

    /// Cancelled work leaves nothing worth looking at. On a full disk what is left is a part of what fills it, and
    /// goes at once.
    pub(crate) fn with_remains(self, remains: impl FnOnce() -> Remains) -> Self {
        match self {
            Self::Cancelled | Self::WithRemains { .. } => self,
            full if is_for_want_of_space(&full) => full,
            other => Self::WithRemains { source: Box::new(other), remains: Arc::new(remains()) },
        }
    }

    pub(crate) fn io(context: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { context: context.into(), source: source.into() }
    }
}
