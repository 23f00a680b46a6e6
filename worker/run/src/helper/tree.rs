//! Trees, files and memory as detached mounts: descriptors that nobody sees until they are attached.
//!
//! Overlays go through the new mount API: `lowerdir+` takes one layer per call, so hundreds of layers need
//! no page-sized option string. A kernel before 6.8 gets the whole list by `mount(2)` as far as a page holds
//! it, in a mount namespace of the helper's own, and the mount is cloned from there.
//!
//! Every overlay is mounted `volatile`: without it, unmounting flushes the whole filesystem below, once per
//! step. The price is that a machine that crashes may keep a half-written upper directory; whoever commits
//! one has to make it durable first. The marker by which overlayfs would refuse to mount the same directory
//! again is removed right away, for that reason.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, mount_change, move_mount, open_tree,
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

fn overlay(lowers: &[PathBuf], upper: Option<&OverlayUpper>, extra: MountAttrFlags) -> io::Result<OwnedFd> {
    let Some((first, further)) = lowers.split_first() else {
        return Err(io::Error::other("an overlay needs at least one layer"));
    };
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    match set_path(&context, "lowerdir+", first) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            return overlay_by_mount(lowers, upper, extra);
        }
        other => other?,
    }
    let create = || -> io::Result<()> {
        for lower in further {
            set_path(&context, "lowerdir+", lower)?;
        }
        if let Some(OverlayUpper { upper, work }) = upper {
            set_path(&context, "upperdir", upper)?;
            set_path(&context, "workdir", work)?;
            fsconfig_set_flag(context.as_fd(), "volatile")?;
        }
        fsconfig_set_string(context.as_fd(), "source", "overlay")?;
        for (key, value) in DEFAULTS {
            fsconfig_set_string(context.as_fd(), *key, *value)?;
        }
        Ok(fsconfig_create(context.as_fd())?)
    };
    create().map_err(|error| explain(&context, error))?;
    if let Some(OverlayUpper { work, .. }) = upper {
        remove_volatile_marker(work);
    }
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, extra)?)
}

/// What an upper directory records must not depend on how the kernel was configured.
const DEFAULTS: &[(&str, &str)] = &[("index", "off"), ("redirect_dir", "off"), ("metacopy", "off")];

/// As long as a string of `fsconfig(2)` may be.
const MAX_STRING: usize = 255;

/// A longer path is handed over open, which kernels from 6.13 on understand.
fn set_path(context: &OwnedFd, key: &str, path: &Path) -> io::Result<()> {
    if path.as_os_str().len() <= MAX_STRING {
        return Ok(fsconfig_set_string(context.as_fd(), key, path)?);
    }
    let directory = super::in_root::open_host(path)?;
    Ok(fsconfig_set_fd(context.as_fd(), key, directory.as_fd())?)
}

/// Where the older way mounts for a moment: a directory that every host has.
const SCRATCH: &CStr = c"/proc";

/// `mount(2)` takes one page of options, and the smallest page is this.
const MAX_OPTIONS: usize = 4096;

fn overlay_by_mount(
    lowers: &[PathBuf],
    upper: Option<&OverlayUpper>,
    extra: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let mut options = b"lowerdir=".to_vec();
    for (index, lower) in lowers.iter().enumerate() {
        if index > 0 {
            options.push(b':');
        }
        push_escaped(&mut options, lower, b":\\,");
    }
    if let Some(OverlayUpper { upper, work }) = upper {
        options.extend(b",upperdir=");
        push_escaped(&mut options, upper, b"\\,");
        options.extend(b",workdir=");
        push_escaped(&mut options, work, b"\\,");
        options.extend(b",volatile");
    }
    for (key, value) in DEFAULTS {
        options.extend(format!(",{key}={value}").as_bytes());
    }
    if options.len() >= MAX_OPTIONS {
        return Err(io::Error::other(format!("{} layers do not fit a mount of this kernel", lowers.len())));
    }
    enter_own_namespace()?;
    let options = CString::new(options)?;
    rustix::mount::mount(c"overlay", SCRATCH, c"overlay", MountFlags::empty(), Some(options.as_c_str()))?;
    if let Some(OverlayUpper { work, .. }) = upper {
        remove_volatile_marker(work);
    }
    let mounted = rustix::fs::openat(CWD, SCRATCH, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mount = bind(&mounted, extra)?;
    drop(mounted);
    rustix::mount::unmount(SCRATCH, UnmountFlags::DETACH)?;
    Ok(mount)
}

fn push_escaped(options: &mut Vec<u8>, path: &Path, special: &[u8]) {
    for byte in path.as_os_str().as_bytes() {
        if special.contains(byte) {
            options.push(b'\\');
        }
        options.push(*byte);
    }
}

/// From here on, nothing that this (single-threaded) process mounts is seen by others.
pub(super) fn enter_own_namespace() -> io::Result<()> {
    // SAFETY: a plain flag.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own, so that its namespace goes with it.
    #[test]
    fn the_older_way_mounts_the_same() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let lowers = [path("a:b,c"), path("plain")];
        std::fs::write(lowers[0].join("upper-one"), "1").unwrap();
        std::fs::write(lowers[1].join("lower-one"), "2").unwrap();
        let upper = OverlayUpper { upper: path("up,per"), work: path("work") };
        for way in [overlay, overlay_by_mount] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mount = way(&lowers, Some(&upper), MountAttrFlags::empty()).unwrap();
                    for (name, text) in [("upper-one", b"1"), ("lower-one", b"2")] {
                        let found = super::super::in_root::read(&mount, name, 9).unwrap();
                        assert_eq!(found.as_deref(), Some(&text[..]));
                    }
                });
            });
        }
    }

    #[test]
    fn a_path_that_is_too_long_for_a_string() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(200)).join("y".repeat(200));
        let other = directory.path().join("other");
        for path in [&long, &other] {
            std::fs::create_dir_all(path).unwrap();
        }
        overlay(&[long, other], None, MountAttrFlags::MOUNT_ATTR_RDONLY).unwrap();
    }
}
