//! What an operation makes: a filesystem tree.

use std::sync::Arc;

use slipway_model::mount::Tree;
use slipway_store::{Mounted, Ref};

use crate::source::local::Context;
use crate::{Error, Result};

/// One output of an operation. Cheap to clone; what it names lives at least as long as it.
#[derive(Clone)]
pub enum Value {
    /// An empty tree.
    Scratch,
    /// A snapshot that will never change.
    Snapshot(Ref),
    /// A client's directory as it was received for this build.
    Context(Arc<Context>),
}

impl Value {
    /// The snapshot behind this value; `None` for scratch. A client's directory is none.
    pub fn snapshot(&self) -> Option<&Ref> {
        match self {
            Self::Snapshot(snapshot) => Some(snapshot),
            Self::Scratch | Self::Context(_) => None,
        }
    }

    /// How to mount this, read-only; `None` for scratch.
    pub fn tree(&self) -> Option<Tree> {
        match self {
            Self::Scratch => None,
            Self::Snapshot(snapshot) => Some(snapshot.tree()),
            Self::Context(context) => Some(context.tree()),
        }
    }

    /// A descriptor of the tree's root, to read files of it; `None` for scratch.
    pub fn mount(&self) -> Result<Option<Mounted>> {
        match self {
            Self::Scratch => Ok(None),
            Self::Snapshot(snapshot) => snapshot.mount().map(Some).map_err(Error::Store),
            Self::Context(context) => context.mount().map(Some),
        }
    }
}
