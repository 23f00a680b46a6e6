//! What goes wrong with records of builds.

use std::path::PathBuf;

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no record of build {0:?}")]
    Unknown(String),
    #[error("build {0:?} is still running")]
    Running(String),
    #[error("build {0:?} is deleted")]
    Deleted(String),
    #[error("{0} events were missed, as nobody read them: listen again")]
    Missed(u64),
    #[error("content {0} is not in the history")]
    NoContent(String),
    #[error("invalid filter {filter:?}: {reason}")]
    Filter { filter: String, reason: String },
    #[error("the record of build {0:?} cannot be read: {1}")]
    Damaged(String, prost::DecodeError),
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Store(#[from] slipway_store::Error),
}

impl Error {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let message = slipway_solver::with_causes(&error);
        match error {
            Error::Unknown(_) | Error::Deleted(_) | Error::NoContent(_) => Self::not_found(message),
            Error::Running(_) => Self::failed_precondition(message),
            Error::Filter { .. } => Self::invalid_argument(message),
            Error::Damaged(..) | Error::Missed(_) => Self::data_loss(message),
            Error::Io { .. } | Error::Store(_) => Self::internal(message),
        }
    }
}
