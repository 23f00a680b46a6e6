//! Whether overlays work on a filesystem, found out by making one: kernels, filesystems and sandboxes differ
//! in too many ways to be asked.
//!
//! In a user namespace overlayfs may keep its marks only in `user.*` attributes (`userxattr`, Linux 5.11);
//! those who write layers need to know which prefix it reads.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, XattrFlags};
use slipway_model::mount::{OverlayUpper, Tree};

use super::remove_tree;
use crate::error::{At as _, Result};
use crate::mounted::{Mounted, overlay_xattr_prefix};

/// Mounts a small overlay in `root`, writes through it, and looks whether a deletion hides and an
/// opaque directory covers. Answers with the prefix of overlayfs' attributes.
pub(super) fn overlay(root: &Path) -> Result<&'static str> {
    // The root has one user, so what is there is of one that was killed.
    let place = root.join(".probe");
    remove_tree(&place)?;
    let outcome = attempt(&place);
    remove_tree(&place)?;
    outcome
}

fn attempt(place: &Path) -> Result<&'static str> {
    let [bottom, middle, upper, work] = ["bottom", "middle", "upper", "work"].map(|name| place.join(name));
    for directory in [bottom.join("covered"), middle.join("covered"), upper.clone(), work.clone()] {
        std::fs::create_dir_all(&directory).at("create", &directory)?;
    }
    for file in [bottom.join("covered/file"), bottom.join("deleted")] {
        std::fs::write(&file, b"").at("write", &file)?;
    }
    let prefix = overlay_xattr_prefix();
    let opaque = middle.join("covered");
    rustix::fs::lsetxattr(&opaque, format!("{prefix}opaque"), b"y", XattrFlags::empty())
        .at("set an attribute of", &opaque)?;

    let upper = Some(OverlayUpper { upper, work });
    let mounted = Mounted::new(&Tree::Overlay { lowers: vec![middle, bottom], upper })?;
    let root = mounted.root();
    rustix::fs::unlinkat(root, "deleted", AtFlags::empty()).at("delete through", place)?;
    for (name, hidden) in [("deleted", true), ("covered/file", true), ("covered", false)] {
        let found = rustix::fs::statat(root, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if found == hidden {
            let unexpected = std::io::Error::other(format!("{name:?} is not seen as it should be"));
            return Err(crate::Error::io("use an overlay in", place, unexpected));
        }
    }
    write_through(root, place)?;
    Ok(prefix)
}

fn write_through(root: std::os::fd::BorrowedFd<'_>, place: &Path) -> Result<()> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, "new", flags, Mode::RUSR).at("write through", place)?;
    drop(file);
    let copied_up: PathBuf = place.join("upper/new");
    rustix::fs::statat(CWD, &copied_up, AtFlags::SYMLINK_NOFOLLOW).at("find", copied_up)?;
    Ok(())
}
