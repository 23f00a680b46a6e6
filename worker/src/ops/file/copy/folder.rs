//! A directory being filled.
//!
//! It is shared by the walk and by every file on its way into it; the last one to let go of it gives
//! it its own attributes ([`release`]), then lets go of the directory above.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, Stat};
use rustix::io::Errno;

use super::super::metadata::{both, chmod, chown, copy_xattrs, times_of};
use super::super::remove::remove_tree;
use super::super::tree::{Tree, directory_at, is_directory, stat_at};
use super::{FileError, Plan, Result};

/// A source directory and what is known of it.
pub(super) type Source = Option<(Arc<OwnedFd>, Stat)>;

pub(super) struct Folder {
    target: OwnedFd,
    path: Vec<u8>,
    source: Source,
    finish: Finish,
    parent: Option<Arc<Folder>>,
    identity: Option<(u64, u64)>,
    /// It was made by this copy, so nothing is in it but what this copy made.
    new: bool,
    /// The same directory behind the target's overlay, if it is there.
    behind: OnceLock<Option<OwnedFd>>,
}

/// Why a directory is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It is what is copied.
    Top,
    /// It is copied as part of it.
    Inside,
    /// Something in it is copied.
    PassedThrough,
}

/// What a directory gets when it is full.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finish {
    Nothing,
    /// It was there before and is only filled.
    Times,
    Everything,
}

impl Folder {
    /// The directory above the target: changed by no attribute.
    pub(super) fn anchor(target: OwnedFd, path: Vec<u8>) -> Self {
        Self {
            target,
            path,
            source: None,
            finish: Finish::Nothing,
            parent: None,
            identity: None,
            new: false,
            behind: OnceLock::new(),
        }
    }

    /// The root of the target, which is there.
    pub(super) fn root(tree: &Tree<'_>, source: Source) -> Result<Self> {
        let target = tree.directory(b"/").map_err(FileError::io("open", b"/"))?;
        Ok(Self { finish: Finish::Times, source, ..Self::anchor(target, b"/".to_vec()) }.identified())
    }

    /// The directory `name` in `parent`, made if it is not there.
    pub(super) fn make(
        plan: &Plan,
        parent: Arc<Self>,
        name: &[u8],
        path: &[u8],
        source: Source,
        found: Found,
    ) -> Result<Self> {
        let mut existing = stat_at(&parent.target, name).map_err(FileError::io("failed to stat", path))?;
        if plan.replace
            && found != Found::PassedThrough
            && existing.as_ref().is_some_and(|stat| !is_directory(stat))
        {
            remove_tree(&parent.target, name, 0).map_err(FileError::io("failed to remove", path))?;
            existing = None;
        }
        match &existing {
            None => rustix::fs::mkdirat(&parent.target, name, Mode::from_raw_mode(0o700))
                .map_err(FileError::io("failed to mkdir", path))?,
            Some(stat) if !is_directory(stat) => {
                return Err(FileError::NotADirectory(String::from_utf8_lossy(path).into_owned()));
            }
            Some(_) => {}
        }
        let target = directory_at(&parent.target, name).map_err(FileError::io("open", path))?;
        let finish = match (existing.is_some(), found) {
            (false, _) | (true, Found::Inside) => Finish::Everything,
            (true, Found::Top) => Finish::Times,
            (true, Found::PassedThrough) => {
                let mode = source.as_ref().map(|(_, stat)| stat.st_mode & 0o7777);
                mode.map_or(Ok(()), |mode| chmod(&target, mode))
                    .map_err(FileError::io("failed to chmod", path))?;
                Finish::Nothing
            }
        };
        let parent = Some(parent);
        let folder =
            Self { source, finish, parent, new: existing.is_none(), ..Self::anchor(target, path.to_vec()) };
        Ok(folder.identified())
    }

    fn identified(mut self) -> Self {
        self.identity = rustix::fs::fstat(&self.target).ok().map(|stat| (stat.st_dev, stat.st_ino));
        self
    }

    pub(super) fn target(&self) -> &OwnedFd {
        &self.target
    }

    /// Without links, absolute in the target tree.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    pub(super) fn is_new(&self) -> bool {
        self.new
    }

    /// Where links into this directory can be made; see [`super::Link`].
    pub(super) fn behind(&self, plan: &Plan) -> Option<&OwnedFd> {
        let open = || Tree { root: plan.link.as_ref()?.0.as_fd() }.directory(&self.path).ok();
        self.behind.get_or_init(open).as_ref()
    }

    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }

    fn finish(&self, plan: &Plan) -> rustix::io::Result<()> {
        let Some((source, stat)) = &self.source else { return Ok(()) };
        if self.finish == Finish::Everything {
            chown(&self.target, plan.owner_of(stat))?;
            chmod(&self.target, plan.mode_of(stat))?;
            copy_xattrs(source, &self.target);
        }
        if self.finish != Finish::Nothing {
            let times = plan.time.map_or_else(|| times_of(stat), both);
            rustix::fs::futimens(&self.target, &times)?;
        }
        Ok(())
    }
}

/// Lets go of a directory; whoever is last finishes it, and those above it that are full by that.
pub(super) fn release(plan: &Plan, folder: Arc<Folder>) -> Result<()> {
    let mut next = Some(folder);
    while let Some(mut folder) = next.take().and_then(Arc::into_inner) {
        folder
            .finish(plan)
            .map_err(|errno: Errno| FileError::io("failed to copy file info", &folder.path)(errno))?;
        next = folder.parent.take();
    }
    Ok(())
}
