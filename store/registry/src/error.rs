//! What is told when a registry does not give what was asked.
//!
//! Every error names the host, the repository and the thing asked for; an answer of the registry is
//! kept with its own code and message, because only those tell a missing right from a missing name.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use http::StatusCode;
use slipway_model::{Digest, Platform};

/// What was asked of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `registry-1.docker.io`, `127.0.0.1:5000`.
    pub host: String,
    pub repository: String,
    /// `manifest latest`, `blob sha256:…`, `upload of sha256:…`.
    pub what: String,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}", self.host, self.repository, self.what)
    }
}

/// How the registry put it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub errors: Vec<RegistryError>,
}

/// One entry of the specification's error body ("Error Codes").
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct RegistryError {
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub message: String,
}

impl Answer {
    /// A body that is not in the specification's form is passed over: it is somebody's error page.
    pub(crate) fn new(status: StatusCode, body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Body {
            errors: Vec<RegistryError>,
        }
        let errors = serde_json::from_slice::<Body>(body).map(|body| body.errors).unwrap_or_default();
        Self { status, errors }
    }

    pub fn has_code(&self, code: &str) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for error in &self.errors {
            match (error.code.as_str(), error.message.as_str()) {
                ("", message) => write!(f, ": {message}")?,
                (code, "") => write!(f, ": {code}")?,
                (code, message) => write!(f, ": {code}: {message}")?,
            }
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{asked}: access denied, the repository does not exist or may require authorization: {answer}: \
         check the name, or log in to {} with an account that may", asked.host
    )]
    Unauthorized { asked: Asked, answer: Answer },
    #[error("{asked}: not found: {answer}: check the name")]
    NotFound { asked: Asked, answer: Answer },
    /// No answer: no such host, no connection, no trust in its certificate, or it went silent.
    #[error("{asked}: cannot reach {}: check the name and the network", asked.host)]
    Unreachable {
        asked: Asked,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
        /// Worth trying again.
        transient: bool,
    },
    /// An answer that will stay the same.
    #[error("{asked}: the registry refuses: {answer}")]
    Refused { asked: Asked, answer: Answer },
    /// 429 or 5xx, still, after all attempts.
    #[error("{asked}: the server is not able to answer: {answer}: try again later")]
    Unavailable { asked: Asked, answer: Answer },
    #[error("{asked}: the content is not what was asked for: expected {expected}, got {actual}")]
    Corrupt { asked: Asked, expected: Box<Digest>, actual: Box<Digest> },
    #[error("{asked}: expected {expected} bytes, got {actual}")]
    Length { asked: Asked, expected: u64, actual: u64 },
    #[error("{asked}: larger than the limit of {limit} bytes")]
    TooLarge { asked: Asked, limit: u64 },
    #[error(
        "{asked}: the image is in Docker's schema 1 format, which is no longer supported: push it again with a \
         recent tool"
    )]
    Schema1 { asked: Asked },
    #[error("{asked}: not an image manifest or index: {reason}")]
    Manifest { asked: Asked, reason: String },
    #[error("{asked}: no match for platform {wanted} in manifest: not found; there is {}", list(available))]
    NoPlatform { asked: Asked, wanted: Box<Platform>, available: Vec<Platform> },
    #[error("{asked}: cannot follow the registry: {reason}")]
    Protocol { asked: Asked, reason: String },
    #[error("cannot get credentials for {host}")]
    Credentials {
        host: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The bytes to be pushed could not be read.
    #[error("{asked}: cannot read what is to be pushed")]
    Source {
        asked: Asked,
        #[source]
        source: io::Error,
    },
    #[error("registry {host}: {reason}")]
    Configuration {
        host: String,
        reason: String,
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
}

impl Error {
    /// The error for an answer that is none of the expected ones.
    pub(crate) fn from_answer(asked: Asked, answer: Answer) -> Self {
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Unauthorized { asked, answer },
            StatusCode::NOT_FOUND => Self::NotFound { asked, answer },
            status if crate::retry::is_transient(status) => Self::Unavailable { asked, answer },
            _ => Self::Refused { asked, answer },
        }
    }

    /// Another attempt, or another mirror, may fare better.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { transient: true, .. } | Self::Unavailable { .. })
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none".into();
    }
    platforms.iter().map(Platform::slug).collect::<Vec<_>>().join(", ")
}
