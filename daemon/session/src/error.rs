//! What can go wrong between the two ends of a session.

use std::io;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no active session for {0}: the client is gone or never came")]
    NotFound(String),
    #[error("method {0} is not supported by the client")]
    Unsupported(&'static str),
    #[error("the client's answer to {what} failed: {}", status.message())]
    Call { what: String, status: Box<tonic::Status> },
    #[error("error from sender: {0}")]
    Sender(String),
    #[error("error from receiver: {0}")]
    Receiver(String),
    #[error("the file transfer breaks the protocol: {0}")]
    Protocol(String),
    #[error("{action} {path:?}: {source}")]
    File { action: &'static str, path: String, source: io::Error },
    #[error("invalid patterns: {0}")]
    Pattern(String),
    #[error("no SSH key {0:?} forwarded from the client")]
    NoAgent(String),
    #[error("the session's connection failed: {0}")]
    Connection(String),
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &str, source: impl Into<io::Error>) -> Self {
        Self::File { action, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn call(what: impl Into<String>, status: tonic::Status) -> Self {
        Self::Call { what: what.into(), status: Box::new(status) }
    }

    /// Whether the client says that it has no such thing.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(tonic::Code::NotFound)
    }

    /// The gRPC code of a failed call, where there was one.
    pub fn code(&self) -> Option<tonic::Code> {
        match self {
            Self::Call { status, .. } => Some(status.code()),
            _ => None,
        }
    }
}
