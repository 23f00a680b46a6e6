//! Why an edge could not be solved.
//!
//! Operations fail with whatever they like ([`Failure`]); the solver adds which vertex it was and
//! keeps the original, so that whoever knows the type can have it back ([`Error::find`]).

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::keys::VertexDigest;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an operation, a content digest or a record source says went wrong. Any error converts with `?`.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// A failure that many may hold.
pub type SharedFailure = Arc<dyn StdError + Send + Sync>;

/// Cheap to clone: everyone who waited for the same work gets the same error.
#[derive(Clone, Debug)]
pub enum Error {
    /// Nobody waits for this any more. Never remembered.
    Cancelled,
    /// The operation of a vertex failed, panicked, or broke its contract.
    Op {
        vertex: VertexDigest,
        /// The vertex's name, as progress shows it.
        name: Arc<str>,
        source: SharedFailure,
    },
    /// A cached result could not be loaded. The solver goes on without it, so this stays inside,
    /// unless a record source is called directly.
    Load(SharedFailure),
}

/// What a lazy result stands for cannot be had. Said by whoever makes it real ([`crate::PrepareFn`]) of a result
/// that came out of a cache, it costs that result and not the build.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a cached result cannot be had")]
pub struct Lost(#[source] pub SharedFailure);

/// An operation panicked; the text is the panic's.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the operation panicked: {0}")]
pub struct Panicked(pub String);

/// An operation broke its contract with the solver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contract {
    #[error("the vertex has {inputs} inputs but its cache map has rules for {rules}")]
    Rules { inputs: usize, rules: usize },
    #[error("output {output} does not exist: the operation has {outputs}")]
    Output { output: usize, outputs: usize },
    #[error("the operation asks for its own result")]
    AsksForItself,
    #[error("the operation names itself more than {0} times")]
    Names(usize),
}

impl Error {
    /// The first error of type `T` in the chain of causes.
    pub fn find<T: StdError + 'static>(&self) -> Option<&T> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    /// The vertex that failed, if one did.
    pub fn vertex(&self) -> Option<VertexDigest> {
        match self {
            Self::Op { vertex, .. } => Some(*vertex),
            _ => None,
        }
    }

    /// What went wrong and why, without the vertex: what progress shows beside its name.
    pub fn reason(&self) -> String {
        match self {
            Self::Cancelled => CANCELLED.to_owned(),
            Self::Op { source, .. } | Self::Load(source) => with_causes(source.as_ref()),
        }
    }
}

/// The words by which BuildKit's clients know a cancelled vertex from a failed one.
pub(crate) const CANCELLED: &str = "context canceled";

/// The error and its causes, each said once.
pub fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Op { name, .. } => write!(f, "cannot solve {name}"),
            Self::Load(_) => f.write_str("cannot load a cached result"),
        }
    }
}

// By hand, because a derived `source` would show the `Arc` and not what is in it.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Cancelled => None,
            Self::Op { source, .. } | Self::Load(source) => Some(source.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_model::Digest;

    #[test]
    fn the_original_error_can_be_had_back() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such image");
        let error = Error::Op {
            vertex: VertexDigest(Digest::of("v")),
            name: "FROM app".into(),
            source: Arc::from(Failure::from(io)),
        };
        assert_eq!(error.to_string(), "cannot solve FROM app");
        assert_eq!(error.reason(), "no such image");
        assert_eq!(
            error.find::<std::io::Error>().map(std::io::Error::kind),
            Some(std::io::ErrorKind::NotFound)
        );
    }
}
