//! How a filesystem tree is put together, told but not done.
//!
//! `store` answers with a [`Tree`]; `run` mounts it inside the container's own mount namespace, and
//! `store` itself can mount it for its own use. Neither room knows the other.

use std::path::PathBuf;

/// A tree that can be mounted. Paths are absolute paths on the host.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Tree {
    /// A directory as it is.
    Bind { source: PathBuf, readonly: bool },
    /// An overlay; `lowers` from the topmost down, at least one. Without `upper` it is read-only.
    Overlay { lowers: Vec<PathBuf>, upper: Option<OverlayUpper> },
}

/// The writable part of an overlay; both on one filesystem.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OverlayUpper {
    pub upper: PathBuf,
    pub work: PathBuf,
}

impl Tree {
    pub fn is_readonly(&self) -> bool {
        match self {
            Self::Bind { readonly, .. } => *readonly,
            Self::Overlay { upper, .. } => upper.is_none(),
        }
    }

    /// The same tree, not writable. Dropping `upper` would hide what is in it, so it becomes the topmost lower.
    pub fn readonly(self) -> Self {
        match self {
            Self::Bind { source, .. } => Self::Bind { source, readonly: true },
            Self::Overlay { mut lowers, upper } => {
                if let Some(OverlayUpper { upper, .. }) = upper {
                    lowers.insert(0, upper);
                }
                Self::Overlay { lowers, upper: None }
            }
        }
    }
}
