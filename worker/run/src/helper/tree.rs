//! Trees, files and memory as detached mounts: descriptors that nobody sees until they are attached.
//!
//! Overlays go through the new mount API: `lowerdir+` takes one layer per call, so hundreds of layers need
//! no page-sized option string. A kernel before 6.8 takes the same list as one `lowerdir` value, as far as
//! it fits.
//!
//! Every overlay is mounted `volatile`: without it, unmounting flushes the whole filesystem below, once per
//! step. The price is that a machine that crashes may keep a half-written upper directory; whoever commits
//! one has to make it durable first. The marker by which overlayfs would refuse to mount the same directory
//! again is removed right away, for that reason.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use slipway_model::mount::{OverlayUpper, Tree};

/// A detached mount of the whole tree. `extra` is added to its attributes.
pub(super) fn open_detached(tree: &Tree, extra: MountAttrFlags) -> io::Result<OwnedFd> {
    match tree {
        Tree::Bind { source, readonly } => {
            let source = super::in_root::open_host(source)?;
            bind(&source, extra | readonly_if(*readonly))
        }
        Tree::Overlay { lowers, upper: None } => match lowers.as_slice() {
            // One layer alone is no overlay.
            [only] => bind(super::in_root::open_host(only)?, extra | MountAttrFlags::MOUNT_ATTR_RDONLY),
            _ => overlay(lowers, None, extra | MountAttrFlags::MOUNT_ATTR_RDONLY),
        },
        Tree::Overlay { lowers, upper: Some(upper) } => overlay(lowers, Some(upper), extra),
    }
}

pub(super) fn readonly_if(readonly: bool) -> MountAttrFlags {
    if readonly { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() }
}

/// What is at the descriptor, with everything mounted below it, as a mount of its own: private, so that what
/// is mounted on it later does not show up on the host.
pub(super) fn bind(source: impl AsFd, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(source, "", flags)?;
    set_attributes(&tree, attributes, true)?;
    Ok(tree)
}

fn overlay(
    lowers: &[impl AsRef<Path>],
    upper: Option<&OverlayUpper>,
    extra: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let create = || -> io::Result<()> {
        fsconfig_set_string(context.as_fd(), "source", "overlay")?;
        add_lowers(&context, lowers)?;
        if let Some(OverlayUpper { upper, work }) = upper {
            fsconfig_set_string(context.as_fd(), "upperdir", upper.as_path())?;
            fsconfig_set_string(context.as_fd(), "workdir", work.as_path())?;
            fsconfig_set_flag(context.as_fd(), "volatile")?;
        }
        // What a layer would otherwise depend on: the kernel's defaults for what it records in the upper.
        for (key, value) in [("index", "off"), ("redirect_dir", "off"), ("metacopy", "off")] {
            fsconfig_set_string(context.as_fd(), key, value)?;
        }
        fsconfig_create(context.as_fd())?;
        Ok(())
    };
    create().map_err(|error| explain(&context, error))?;
    if let Some(OverlayUpper { work, .. }) = upper {
        remove_volatile_marker(work);
    }
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, extra)?)
}

fn add_lowers(context: &OwnedFd, lowers: &[impl AsRef<Path>]) -> io::Result<()> {
    for (index, lower) in lowers.iter().enumerate() {
        match fsconfig_set_string(context.as_fd(), "lowerdir+", lower.as_ref()) {
            Err(Errno::INVAL) if index == 0 => return add_lowers_at_once(context, lowers),
            other => other?,
        }
    }
    Ok(())
}

fn add_lowers_at_once(context: &OwnedFd, lowers: &[impl AsRef<Path>]) -> io::Result<()> {
    let mut list = Vec::new();
    for lower in lowers {
        if !list.is_empty() {
            list.push(b':');
        }
        for byte in lower.as_ref().as_os_str().as_bytes() {
            if matches!(byte, b':' | b'\\' | b',') {
                list.push(b'\\');
            }
            list.push(*byte);
        }
    }
    let list = CString::new(list)?;
    Ok(fsconfig_set_string(context.as_fd(), "lowerdir", list.as_c_str())?)
}

/// The kernel's own words, where it left some in the context ("e overlay: …").
fn explain(context: &OwnedFd, error: io::Error) -> io::Error {
    let mut message = [0; 512];
    match rustix::io::read(context, &mut message) {
        Ok(length) if length > 2 => {
            let text = String::from_utf8_lossy(message.get(2..length).unwrap_or_default()).trim().to_owned();
            io::Error::new(error.kind(), format!("{error} ({text})"))
        }
        _ => error,
    }
}

fn remove_volatile_marker(work: &Path) {
    // Where one of them is missing there was nothing to remove. Our own directory, not one of the tree's.
    let incompatible = work.join("work/incompat");
    let marker = incompatible.join("volatile");
    let _ = std::fs::remove_file(marker.join("dirty"));
    let _ = std::fs::remove_dir(marker);
    let _ = std::fs::remove_dir(incompatible);
}

/// A fresh filesystem of a kind that needs no source, detached. An option without a value is a flag.
pub(super) fn new_filesystem(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        match *value {
            "" => fsconfig_set_flag(context.as_fd(), *key)?,
            value => fsconfig_set_string(context.as_fd(), *key, value)?,
        }
    }
    fsconfig_create(context.as_fd()).map_err(|error| explain(&context, error.into()))?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Attaches a detached mount where the second descriptor points.
pub(super) fn attach(mount: impl AsFd, place: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", place, "", flags)?)
}

/// Attaches a detached mount at a path of the current namespace.
pub(super) fn attach_at(mount: impl AsFd, path: impl AsRef<Path>) -> io::Result<()> {
    Ok(move_mount(mount, "", CWD, path.as_ref(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Adds attributes to a mount and, where asked, to all below it, and makes them private (`mount_setattr(2)`).
pub(crate) fn set_attributes(mount: impl AsFd, attributes: MountAttrFlags, below: bool) -> io::Result<()> {
    let (attr_set, propagation) = (attributes.bits().into(), libc::MS_PRIVATE);
    let change = libc::mount_attr { attr_set, attr_clr: 0, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if below { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and the structure is as large as said.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &change,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
