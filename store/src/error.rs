//! What can go wrong where bytes rest.
//!
//! A full disk has a variant of its own, whatever layer noticed it: callers prune and try again, or
//! tell the user to, instead of showing an errno.

use std::io;
use std::path::{Path, PathBuf};

use slipway_model::{BlobDigest, Digest};

use crate::snapshot::SnapshotId;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("no space left on the device that holds {path}: prune the build cache or free some space")]
    NoSpace { path: PathBuf },

    #[error("{root} is in use by another process{}: stop it, or choose another root", holder(.pid))]
    Locked { root: PathBuf, pid: Option<u32> },

    #[error(
        "{what} has layout version {found}, this program knows {known}: use a newer version, or another root"
    )]
    Newer { what: String, found: i64, known: i64 },

    #[error("metadata database {path}")]
    Database { path: PathBuf, source: rusqlite::Error },

    #[error("metadata database {path} is damaged: restart to save what can be read of it")]
    Corrupt { path: PathBuf, source: rusqlite::Error },

    #[error("metadata written before could not be committed: {reason}")]
    WritesLost { reason: String },

    #[error("blob has digest {actual}, expected {expected}")]
    WrongDigest { expected: Box<BlobDigest>, actual: Box<BlobDigest> },

    #[error("blob {digest} has {actual} bytes, expected {expected}")]
    WrongSize { digest: Box<BlobDigest>, expected: u64, actual: u64 },

    #[error("blob {digest}: only sha256 blobs can be stored")]
    Algorithm { digest: Box<Digest> },

    #[error("invalid snapshot id {text:?}: expected 16 characters of a-z and 2-7")]
    SnapshotId { text: String },

    #[error("snapshot {id} does not exist")]
    NoSnapshot { id: SnapshotId },

    #[error("snapshot {id} is mutable and cannot be a parent")]
    Mutable { id: SnapshotId },

    #[error("a snapshot cannot have more than {limit} layers: merge some build steps")]
    TooManyLayers { limit: usize },

    #[error(
        "{root} was made with the {found} snapshotter, not {wanted}: ask for {found} or use another root"
    )]
    OtherSnapshotter { root: PathBuf, found: String, wanted: String },

    #[error("overlay does not work in {root}")]
    NoOverlay { root: PathBuf, source: Box<Error> },

    #[error("invalid filter {filter:?}: {reason}")]
    Filter { filter: String, reason: String },

    /// The program that keeps snapshots and blobs ([`crate::Backend`]) does not do what it is asked.
    #[error("cannot {action}")]
    Backend { action: String, source: Box<dyn std::error::Error + Send + Sync> },

    #[error("{path} is larger than {limit} bytes")]
    TooLarge { path: PathBuf, limit: u64 },

    #[error("{path} is not a regular file")]
    NotAFile { path: PathBuf },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

impl Error {
    /// An I/O error of `action` on `path`; a full disk or quota becomes [`Error::NoSpace`].
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.into(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Io { action, path, source },
        }
    }

    pub(crate) fn database(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        if matches!(
            source,
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)
        ) {
            // Not what was put in: a bit is flipped where the database does not look.
            return Self::Corrupt { path: path.into(), source };
        }
        match source.sqlite_error_code() {
            Some(DiskFull) => Self::NoSpace { path: path.into() },
            Some(DatabaseCorrupt | NotADatabase) => Self::Corrupt { path: path.into(), source },
            _ => Self::Database { path: path.into(), source },
        }
    }

    /// The kind of the I/O error this is, if it is one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::NoSpace { .. } => Some(io::ErrorKind::StorageFull),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound) || matches!(self, Self::NoSnapshot { .. })
    }
}

/// Says what was being done to which path when an I/O call failed.
pub(crate) trait At<T> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| Error::io(action, path.as_ref(), error))
    }
}

/// `at` for calls where the thing not being there is an answer.
pub(crate) fn if_exists<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
