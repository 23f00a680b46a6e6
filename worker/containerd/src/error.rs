//! What can go wrong between us and containerd.

use std::path::PathBuf;

use tonic::Code;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("containerd is not reachable at {}: {reason}; start it, or give its socket's path", address.display())]
    Unreachable { address: PathBuf, reason: String },

    #[error("containerd cannot {action}: {}", status.message())]
    Refused { action: String, status: Box<tonic::Status> },

    #[error("containerd did not {action} within {seconds} s")]
    Silent { action: String, seconds: u64 },

    #[error("the client of containerd has been closed")]
    Closed,

    #[error("cannot start the client of containerd")]
    Client { source: std::io::Error },

    #[error("containerd has no snapshotter {wanted:?}: it has {available}")]
    NoSnapshotter { wanted: String, available: String },

    #[error(
        "snapshots of containerd's {snapshotter} are mounted as {kind}, which is not supported: use overlayfs or native"
    )]
    Mounts { snapshotter: String, kind: String },

    #[error("containerd's answer lacks {what}")]
    Incomplete { what: &'static str },

    #[error("{what} of containerd is not readable here")]
    Unreadable { what: String, source: std::io::Error },
}

impl Error {
    pub(crate) fn refused(action: impl Into<String>) -> impl FnOnce(tonic::Status) -> Self {
        let action = action.into();
        move |status| Self::Refused { action, status: Box::new(status) }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { status, .. } => Some(status.code()),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == Some(Code::NotFound)
    }

    pub fn already_exists(&self) -> bool {
        self.code() == Some(Code::AlreadyExists)
    }

    /// Whether containerd is gone, rather than unwilling.
    pub fn is_unavailable(&self) -> bool {
        // What the connection's end is called depends on when it comes.
        const ENDS: [&str; 3] = ["transport error", "h2 protocol error", "connection"];
        let says_so = |status: &tonic::Status| ENDS.iter().any(|end| status.message().contains(end));
        matches!(self, Self::Silent { .. } | Self::Unreachable { .. } | Self::Closed)
            || matches!(self.code(), Some(Code::Unavailable | Code::Cancelled))
            || matches!(self, Self::Refused { status, .. } if says_so(status))
    }

    fn is_full_disk(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.message().contains("no space left on device"))
    }
}

/// As the store tells it.
impl From<Error> for slipway_store::Error {
    fn from(error: Error) -> Self {
        if error.is_full_disk() {
            return Self::NoSpace { path: "containerd's root".into() };
        }
        let action = match &error {
            Error::Refused { action, .. } | Error::Silent { action, .. } => action.clone(),
            _ => "use containerd".into(),
        };
        Self::Backend { action, source: Box::new(error) }
    }
}
