//! What an operation makes: a filesystem tree.

use std::sync::Arc;

use slipway_model::mount::Tree;
use slipway_store::{Mounted, Ref};

use crate::source::cache::Lazy;
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
    /// What an imported cache has; fetched when something [reads](crate::source::cache::make_real) it.
    Lazy(Arc<Lazy>),
}

impl Value {
    /// What is here of this: itself, unless it is lazy. An error if it has not been fetched.
    pub fn real(&self) -> Result<&Self> {
        match self {
            Self::Lazy(lazy) => lazy.real().ok_or_else(|| lazy.unread()),
            here => Ok(here),
        }
    }

    /// The snapshot behind this value; `None` for scratch, and for what is not here. A client's directory is none.
    pub fn snapshot(&self) -> Option<&Ref> {
        match self.real() {
            Ok(Self::Snapshot(snapshot)) => Some(snapshot),
            _ => None,
        }
    }

    /// How to mount this, read-only; `None` for scratch, and for what is not here.
    pub fn tree(&self) -> Option<Tree> {
        match self.real() {
            Ok(Self::Snapshot(snapshot)) => Some(snapshot.tree()),
            Ok(Self::Context(context)) => Some(context.tree()),
            _ => None,
        }
    }

    /// A descriptor of the tree's root, to read files of it; `None` for scratch.
    pub fn mount(&self) -> Result<Option<Mounted>> {
        match self.real()? {
            Self::Snapshot(snapshot) => snapshot.mount().map(Some).map_err(Error::Store),
            Self::Context(context) => context.mount().map(Some),
            _ => Ok(None),
        }
    }
}
