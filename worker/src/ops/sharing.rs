//! Files that a copy need not copy: they get another name, and both trees share them for good.
//!
//! | the source is | linked from | allowed if |
//! |---|---|---|
//! | a client's directory | it; it is replaced file by file, never written into | its files keep to one path each ([`Context::may_link`]) |
//! | a snapshot | its layers | no stack comes about that has two names of a file ([`Active::may_share`]) |
//!
//! The target is written once and then never again, so what it shares is safe, if the rest of the operation does not
//! write into it either: later actions may only copy.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{CWD, Mode, OFlags};
use slipway_model::llb::pb;
use slipway_model::llb::pb::file_action::Action;
use slipway_store::{Active, Mounted, Moved, Ref};

use super::file::{self, Layers, Link, Owner};
use crate::source::local::Context;
use crate::{Error, Result, Value};

/// Layers of a snapshot that are looked at, from the top.
const MOST: usize = 16;

/// Whose files a copy may share.
pub(super) enum Sharing {
    Nothing,
    Context(Arc<Context>),
    /// The topmost layer first.
    Layers(Vec<Ref>),
}

impl Sharing {
    /// What `later` does is what comes after the copy in its operation.
    pub(super) fn of(source: &Value, is_layered: bool, later: &[pb::FileAction]) -> Self {
        let replaces = |action: &pb::FileAction| matches!(&action.action, Some(Action::Copy(copy)) if !copy.attempt_unpack_docker_compatibility);
        match source {
            _ if !is_layered || !later.iter().all(replaces) => Self::Nothing,
            Value::Context(context) => Self::Context(context.clone()),
            Value::Snapshot(snapshot) => {
                Self::Layers(snapshot.chain().into_iter().rev().take(MOST).collect())
            }
            Value::Scratch | Value::Lazy(_) => Self::Nothing,
        }
    }

    /// Copies to `target`, mounted at `root`.
    pub(super) fn copy(
        &self,
        source: &Mounted,
        (target, root): (&mut Active, &Mounted),
        copy: &pb::FileActionCopy,
        owner: Option<Owner>,
    ) -> Result<()> {
        let upper = open_directory(&target.upper_dir())?;
        match self {
            Self::Nothing => {
                file::copy(source.root(), root.root(), copy, owner, Link::Never)?;
            }
            Self::Context(context) => {
                let permit = |from: &[u8], to: &[u8]| {
                    let roots = vec![source.root().try_clone_to_owned().ok()?];
                    context.may_link(from, to).then_some(Layers { roots, few: true })
                };
                target.shares_files_with_directory(context.directory())?;
                let link = Link::Behind { directory: upper.as_fd(), permit: &permit, begin: &|_| true };
                file::copy(source.root(), root.root(), copy, owner, link)?;
            }
            Self::Layers(layers) => {
                let offer =
                    Mutex::new(Offer { target, layers: Vec::new(), from: Vec::new(), to: Vec::new() });
                let permit = |from: &[u8], to: &[u8]| offer.lock().permit(layers, from, to);
                let begin = |layer| offer.lock().begin(layer);
                let link = Link::Behind { directory: upper.as_fd(), permit: &permit, begin: &begin };
                file::copy(source.root(), root.root(), copy, owner, link)?;
            }
        }
        Ok(())
    }
}

/// Which layers are offered to a copy, and what it moves where.
struct Offer<'a> {
    target: &'a mut Active,
    layers: Vec<Ref>,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Offer<'_> {
    fn permit(&mut self, layers: &[Ref], from: &[u8], to: &[u8]) -> Option<Layers> {
        let moved = Moved { from, to };
        let mut roots = Vec::new();
        for layer in layers {
            // What cannot be found out is copied.
            if self.target.may_share(layer, Some(moved)).unwrap_or(false)
                && let Ok(root) = open_directory(&layer.upper_dir())
            {
                self.layers.push(layer.clone());
                roots.push(root);
            }
        }
        (self.from, self.to) = (from.to_vec(), to.to_vec());
        (!roots.is_empty()).then_some(Layers { roots, few: false })
    }

    fn begin(&mut self, layer: usize) -> bool {
        let moved = Moved { from: &self.from, to: &self.to };
        let layer = self.layers.get(layer);
        layer.is_some_and(|layer| self.target.shares_files_with(layer, Some(moved)).is_ok())
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|error| Error::io(format!("cannot open {}", path.display()), error))
}
