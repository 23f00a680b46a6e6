//! What can go wrong in a file action; the texts are those that users of the reference match on.

use rustix::io::Errno;

use super::mode::ModeError;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A wildcard that matches nothing. The pattern, absolute.
    #[error("{0} not found")]
    NoMatch(String),
    #[error("cannot copy to non-directory: {0}")]
    NotADirectory(String),
    #[error("cannot replace to directory {0} with file")]
    IsADirectory(String),
    /// `what` failed on `path`, which is absolute inside its tree.
    #[error("{what} {path}: {}", reason(.source))]
    Io { what: &'static str, path: String, source: std::io::Error },
    #[error("failed to stat {dest}: {source}")]
    Destination { dest: String, source: Box<FileError> },
    #[error("too many links")]
    TooManyLinks,
    #[error("{0:?}: nested deeper than {DEEPEST} directories")]
    TooDeep(String),
    #[error("invalid {list}patterns: {patterns:?}: {source}")]
    Pattern { list: &'static str, patterns: Vec<String>, source: slipway_model::pattern::PatternError },
    #[error("invalid mode {text:?}: {source}")]
    Mode { text: String, source: ModeError },
    #[error("rmPath: invalid empty path")]
    EmptyPath,
    #[error("invalid missing {0} mount")]
    MissingOwnerTree(&'static str),
    #[error("{0} is not a regular file")]
    NotAFile(String),
    #[error("{path:?} exceeds {limit} bytes")]
    TooLarge { path: String, limit: u64 },
    #[error("cannot unpack {path}: {reason}")]
    Archive { path: String, reason: String },
}

/// Directories nest at most this deep: they are walked by recursion, each level holding two
/// descriptors.
pub(super) const DEEPEST: usize = 400;

impl FileError {
    pub(super) fn io(what: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> Self + use<> {
        let path = String::from_utf8_lossy(path).into_owned();
        move |errno| Self::Io { what, path, source: errno.into() }
    }
}

/// As other tools print an error number: lower case, without the number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
