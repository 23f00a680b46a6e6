//! Why a daemon does not start or stops.

use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    ConfigRead { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Config { path: PathBuf, reason: String },
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: String, reason: String },
    #[error("TLS: {0}")]
    Tls(String),
    #[error(transparent)]
    Store(#[from] slipway_store::Error),
    #[error("cannot open the build cache: {0}")]
    Records(String),
    #[error("cannot open the history of builds: {0}")]
    History(String),
    #[error("cannot set up the worker: {0}")]
    Worker(String),
    #[error("cannot set up garbage collection: {0}")]
    Gc(String),
    #[error("cannot serve: {0}")]
    Serve(String),
}

impl Error {
    /// Another daemon uses the state directory.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Store(slipway_store::Error::Locked { .. }))
    }
}
