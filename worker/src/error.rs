//! What can go wrong while an operation is loaded or runs.

use slipway_model::llb::VertexDigest;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid operation {vertex}: {reason}")]
    Invalid { vertex: VertexDigest, reason: String },
    #[error("{0} is not supported by this worker")]
    Unsupported(String),
    #[error("{0} is not allowed")]
    NotAllowed(&'static str),
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
    #[error(transparent)]
    File(#[from] crate::ops::file::FileError),
    #[error(transparent)]
    Layer(#[from] slipway_store::layer::LayerError),
    #[error(transparent)]
    Session(#[from] slipway_session::Error),
    #[error("cannot download {url}")]
    Download { url: String, source: Box<slipway_registry::Error> },
    #[error("{context}: {source}")]
    Io { context: String, source: std::io::Error },
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Failed(String),
}

impl From<slipway_store::Error> for Error {
    fn from(error: slipway_store::Error) -> Self {
        Self::Store(error)
    }
}

impl Error {
    pub(crate) fn io(context: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { context: context.into(), source: source.into() }
    }
}
