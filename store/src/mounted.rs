//! A tree mounted for the daemon's own use: a descriptor, and nothing else.
//!
//! The mount is *detached* (`fsopen` + `fsmount`): it is in no mount table and has no path, so no other
//! process sees it, and it goes with the last descriptor, also after a kill -9. A tree that is a single
//! directory is not mounted at all.
//!
//! A writable overlay is mounted `volatile`, or its end would wait for the whole filesystem below to be
//! written; what it leaves on the disk is up to epochs ([`crate::metadata`]), as for all snapshots. The
//! mark by which overlayfs would refuse to mount the same directories again is removed at once.
//!
//! Kernels before 6.8 know no `lowerdir+` and limit the text of one option to 255 bytes. There a
//! thread with a mount namespace of its own mounts the old way (`mount(2)`, one page of options) and
//! hands out a detached clone of that.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags,
};
use rustix::thread::UnshareFlags;
use slipway_model::mount::Tree;

use crate::error::{At as _, Error, Result};

/// A mounted tree. Unmounted when dropped, and when the process ends in whatever way.
///
/// Read-only trees of several layers are read-only by the kernel; for a single directory it is up to the
/// holder not to write. Files opened from it stay usable after it is dropped.
#[derive(Debug)]
pub struct Mounted {
    root: OwnedFd,
}

impl Mounted {
    /// Mounts `tree`; `nosuid` and `nodev`, as nothing in it is to be run or driven.
    pub fn new(tree: &Tree) -> Result<Self> {
        let root = match tree {
            Tree::Bind { source, .. } => open_directory(source)?,
            Tree::Overlay { lowers, upper: None } if lowers.len() == 1 => open_directory(&lowers[0])?,
            Tree::Overlay { .. } => overlay(tree)?,
        };
        Ok(Self { root })
    }

    /// The root directory, for `openat2` and the like ([`crate::inroot`]).
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl AsFd for Mounted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).at("open", path)
}

/// `trusted.overlay.`, or `user.overlay.` where this process is root of a user namespace only.
pub fn overlay_xattr_prefix() -> &'static str {
    static PREFIX: OnceLock<&str> = OnceLock::new();
    PREFIX.get_or_init(|| if in_user_namespace() { "user.overlay." } else { "trusted.overlay." })
}

/// The first user namespace maps all ids to themselves; no other can, as the last id is never mapped.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let fields: Vec<_> = map.split_ascii_whitespace().collect();
    !map.is_empty() && fields != ["0", "0", "4294967295"]
}

fn overlay(tree: &Tree) -> Result<OwnedFd> {
    let (lowers, upper) = match tree {
        Tree::Overlay { lowers, upper } => (lowers.as_slice(), upper),
        Tree::Bind { .. } => (&[][..], &None),
    };
    let place = lowers.first().ok_or_else(|| Error::io("mount", "an overlay", Errno::INVAL))?;
    let mounted = match by_fsopen(tree) {
        Err(Errno::INVAL | Errno::NOSYS) => by_mount(tree),
        result => result,
    };
    let mounted = mounted.at("mount an overlay on", place)?;
    if let Some(upper) = upper {
        crate::snapshot::remove_tree(&upper.work.join("work/incompat"))?;
    }
    Ok(mounted)
}

/// Plain overlays whatever the kernel's defaults are: an upper directory is a layer that others can read.
const PLAIN: [(&str, &str); 3] = [("redirect_dir", "off"), ("metacopy", "off"), ("index", "off")];

fn by_fsopen(tree: &Tree) -> rustix::io::Result<OwnedFd> {
    let Tree::Overlay { lowers, upper } = tree else { return Err(Errno::INVAL) };
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, value: &Path| rustix::mount::fsconfig_set_string(context.as_fd(), key, value);
    set("source", Path::new("overlay"))?;
    for lower in lowers {
        set("lowerdir+", lower)?;
    }
    if let Some(upper) = upper {
        // Unlike `lowerdir+`, these are unescaped by the kernel.
        for (key, path) in [("upperdir", &upper.upper), ("workdir", &upper.work)] {
            set(key, Path::new(OsStr::from_bytes(&escaped(path, b"\\"))))?;
        }
        rustix::mount::fsconfig_set_flag(context.as_fd(), "volatile")?;
    }
    if overlay_xattr_prefix().starts_with("user.") {
        rustix::mount::fsconfig_set_flag(context.as_fd(), "userxattr")?;
    } else {
        for (key, value) in PLAIN {
            set(key, Path::new(value))?;
        }
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, upper.is_none());
    let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    reopen(mount.as_fd())
}

/// `fsmount` answers with an `O_PATH` descriptor, which cannot be listed.
fn reopen(mount: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(mount, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn by_mount(tree: &Tree) -> rustix::io::Result<OwnedFd> {
    let tree = tree.clone();
    std::thread::Builder::new()
        .name("mount".into())
        .spawn(move || mount_and_clone(&tree))
        .map_err(|_| Errno::AGAIN)?
        .join()
        .map_err(|_| Errno::IO)?
}

/// Runs in a thread that ends afterwards: its namespace, and with it the mount in it, end too.
fn mount_and_clone(tree: &Tree) -> rustix::io::Result<OwnedFd> {
    let Tree::Overlay { lowers, upper } = tree else { return Err(Errno::INVAL) };
    // SAFETY: only this thread leaves the shared mount namespace and working directory; no files are unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS)? };
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let place = lowers.first().and_then(|lower| lower.parent()?.parent()).ok_or(Errno::INVAL)?;
    rustix::process::chdir(place)?;
    let mut options = Vec::new();
    for (index, lower) in lowers.iter().enumerate() {
        options.extend_from_slice(if index == 0 { b"lowerdir=" } else { b":" });
        options.extend(escaped(lower.strip_prefix(place).unwrap_or(lower), SPECIAL));
    }
    if let Some(upper) = upper {
        for (key, path) in [(",upperdir=", &upper.upper), (",workdir=", &upper.work)] {
            options.extend_from_slice(key.as_bytes());
            options.extend(escaped(path.strip_prefix(place).unwrap_or(path), SPECIAL));
        }
        options.extend_from_slice(b",volatile");
    }
    if overlay_xattr_prefix().starts_with("user.") {
        options.extend_from_slice(b",userxattr");
    } else {
        for (key, value) in PLAIN {
            options.extend_from_slice(format!(",{key}={value}").as_bytes());
        }
    }
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    flags.set(MountFlags::RDONLY, upper.is_none());
    // In this namespace nobody else looks at the directory that the mount covers.
    rustix::mount::mount(c"overlay", place, c"overlay", flags, &*options)?;
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, place, clone)?;
    reopen(mount.as_fd())
}

/// What separates and escapes in the text of all options together.
const SPECIAL: &[u8] = b":,\\";

fn escaped(path: &Path, special: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if special.contains(byte) {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_model::mount::OverlayUpper;

    /// Both ways to mount; skipped where this process may not mount.
    fn check(mount: fn(&Tree) -> rustix::io::Result<OwnedFd>) {
        let place = tempfile::tempdir().unwrap();
        let names = ["a,b:c/low", "a,b:c/lowest", "up\\per/fs", "work"];
        let [low, lowest, upper, work] = names.map(|name| place.path().join(name));
        for directory in [&low, &lowest, &upper, &work] {
            std::fs::create_dir_all(directory).unwrap();
        }
        std::fs::write(low.join("file"), "text").unwrap();
        let table = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = table().matches(" - overlay ").count();
        let tree = Tree::Overlay {
            lowers: vec![low.clone(), lowest],
            upper: Some(OverlayUpper { upper: upper.clone(), work }),
        };
        let root = match mount(&tree) {
            Err(Errno::PERM) => return println!("skipped: mounting is not allowed here"),
            root => root.unwrap(),
        };
        rustix::fs::renameat(&root, "file", &root, "moved").unwrap();
        assert_eq!(std::fs::read_to_string(upper.join("moved")).unwrap(), "text");
        assert!(low.join("file").exists());
        assert!(!table().contains(place.path().to_str().unwrap()));
        assert!(table().matches(" - overlay ").count() <= before);
    }

    #[test]
    fn the_same_directories_can_be_mounted_again() {
        let place = tempfile::tempdir().unwrap();
        let [low, lowest, upper, work] = ["1", "2", "3", "4"].map(|name| place.path().join(name));
        for directory in [&low, &lowest, &upper, &work] {
            std::fs::create_dir_all(directory).unwrap();
        }
        let upper = Some(OverlayUpper { upper, work });
        let tree = Tree::Overlay { lowers: vec![low, lowest], upper };
        for _ in 0..2 {
            match Mounted::new(&tree) {
                Ok(mounted) => drop(mounted),
                Err(error) if error.io_kind() == Some(std::io::ErrorKind::PermissionDenied) => {
                    return println!("skipped: mounting is not allowed here");
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    #[test]
    fn a_detached_mount_is_in_no_table() {
        check(by_fsopen);
    }

    #[test]
    fn so_is_one_made_the_old_way() {
        check(by_mount);
    }
}
