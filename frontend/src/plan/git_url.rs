//! Git repositories as people write them: for contexts and for `ADD`.
//!
//! | written | meaning |
//! |---|---|
//! | `https://host/x.git`, `http://…` | needs the `.git` to differ from a download |
//! | `git://host/x`, `ssh://user@host/x` | |
//! | `user@host:path` | ssh, as scp writes it |
//! | `github.com/org/x` | of old; a local path could be called so |
//!
//! Behind it `#ref[:folder]`, or a query: `?ref= tag= branch= subdir= checksum= commit=
//! keep-git-dir= submodules= mtime= fetch-by-commit=`.

mod reference;
mod url;

pub use reference::{GitReference, Modified};
pub use url::{Fragment, GitUrl};

use slipway_model::quote::quoted;

/// Why a text is no git repository, or not a good one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    #[error("unknown protocol")]
    UnknownProtocol,
    #[error("{0}: invalid protocol")]
    InvalidProtocol(String),
    /// A path, or a URL of something else.
    #[error("invalid argument")]
    NotGit,
    #[error("parse {}: invalid URL", quoted(.0))]
    Url(String),
    #[error("query {} has no value", quoted(.0))]
    NoValue(String),
    #[error("query {} has multiple values", quoted(.0))]
    SeveralValues(String),
    #[error("unexpected query {}", quoted(.0))]
    UnknownQuery(String),
    #[error("invalid {key} value: {}", quoted(.value))]
    InvalidValue { key: &'static str, value: String },
    #[error("invalid mtime value: {} (must be \"checkout\" or \"commit\")", quoted(.0))]
    Modified(String),
    #[error("{what} conflicts: {} vs {}", quoted(.first), quoted(.second))]
    Conflict { what: &'static str, first: String, second: String },
    #[error("branch conflicts with tag")]
    BranchAndTag,
}

impl GitError {
    /// The text does mean a git repository, but asks for something that cannot be: an error, where
    /// otherwise another kind of source may be tried.
    pub fn is_of_git(&self) -> bool {
        !matches!(self, Self::UnknownProtocol | Self::InvalidProtocol(_) | Self::NotGit | Self::Url(_))
    }
}
