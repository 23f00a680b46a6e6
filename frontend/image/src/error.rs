//! Why a frontend cannot do its work.

use slipway_frontend::ErrorSource;
use tonic::Status;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "this program is a frontend: a builder runs it, with an HTTP/2 connection on its standard streams ({0})"
    )]
    NotRunByBuilder(String),
    #[error("cannot talk to the builder: {0}")]
    Connection(#[from] hyper::Error),
    /// The builder refused; its own details go back to it.
    #[error("{}", .0.message())]
    Builder(Box<Status>),
    /// What the user wrote is wrong, and where.
    #[error("{message}")]
    Source { message: String, sources: Vec<ErrorSource> },
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Builder(Box::new(status))
    }
}

impl From<slipway_frontend::Error> for Error {
    fn from(error: slipway_frontend::Error) -> Self {
        Self::Source { message: error.message, sources: error.sources }
    }
}

impl Error {
    /// What is wrong with something that has no lines.
    pub fn plain(message: impl Into<String>) -> Self {
        Self::Source { message: message.into(), sources: Vec::new() }
    }
}
