//! Mount points that were made for a step must not end up in its layer.
//!
//! Which of them are missing is found out before the step runs; afterwards those that are still empty are
//! removed, their parents only where the build asks for it. Both by the rules of paths in a tree: a step that
//! has swapped a directory for a link in the meantime gets its stubs left where they are, never another
//! file removed. The parent's times stay as the step left them.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use super::in_root;

/// Paths in the tree without links, each before its parents.
#[derive(Debug, Default)]
pub(super) struct Stubs(Vec<PathBuf>);

/// What will have to be made for these destinations. One that cannot be resolved fails later, when mounted.
pub(super) fn find<'a>(
    root: impl AsFd,
    destinations: impl Iterator<Item = &'a str>,
    recursive: bool,
) -> Stubs {
    let mut stubs = Vec::new();
    for destination in destinations {
        let Ok(location) = in_root::locate(&root, destination) else { continue };
        let depth = if recursive { location.missing.len() } else { location.missing.len().min(1) };
        stubs.extend(location.path.ancestors().take(depth).map(Path::to_owned));
    }
    Stubs(stubs)
}

impl Stubs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Best effort: what is in the way of removing a stub was put there by the step.
    pub(super) fn remove(&self, root: impl AsFd) {
        for stub in &self.0 {
            let _ = remove_one(&root, stub);
        }
    }
}

fn remove_one(root: impl AsFd, stub: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (stub.parent(), stub.file_name()) else { return Ok(()) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let parent = rustix::fs::openat2(root, parent, flags, Mode::empty(), resolve)?;
    let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let how = match FileType::from_raw_mode(stat.st_mode) {
        // Fails where it is not empty, as it should.
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
        _ => return Ok(()),
    };
    let times = in_root::stat(&parent)?;
    rustix::fs::unlinkat(&parent, name, how)?;
    in_root::set_times(&parent, &times)
}
