//! What is told when an object store does not do as asked.

use http::StatusCode;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the user wrote cannot be.
    #[error("{0}")]
    Option(String),
    /// No answer, or none but passing failures.
    #[error(transparent)]
    Server(#[from] slipway_registry::Error),
    #[error("{place}: {what} is refused: {status}{}", told(code, message))]
    Refused { place: String, what: String, status: StatusCode, code: String, message: String },
    #[error("{place}: cannot follow the answer to {what}: {reason}")]
    Protocol { place: String, what: String, reason: String },
    #[error("{place}: blob {digest} is not there any more")]
    Missing { place: String, digest: String },
    #[error("{place}: {what}: nothing came of it within {seconds} seconds")]
    Timeout { place: String, what: String, seconds: u64 },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

fn told(code: &str, message: &str) -> String {
    match (code, message) {
        ("", "") => String::new(),
        ("", text) | (text, "") => format!(": {text}"),
        (code, message) => format!(": {code}: {message}"),
    }
}
