//! Paths of a tree, resolved inside it.
//!
//! Every look-up is one `openat2` with `RESOLVE_IN_ROOT`: links and `..` are followed as if the tree's root
//! were `/`, whatever a hostile image or a concurrent step does to it meanwhile, and links of `/proc` that
//! lead elsewhere are refused. Making what is missing first finds out where it belongs ([`locate`]), then
//! makes one component at a time in a directory that is already open, never through a link.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// Opens what `path` names in the tree, following links inside it.
pub(super) fn open(root: impl AsFd, path: impl AsRef<Path>, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = path.as_ref();
    let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
    loop {
        match rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // A rename raced with `..`: the kernel could not be sure and asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Where a path leads: the deepest directory (or file) that exists, and what is missing below it.
pub(super) struct Location {
    pub(super) existing: OwnedFd,
    pub(super) missing: Vec<OsString>,
    /// The whole path without links, from the tree's root; its last components are the missing ones.
    pub(super) path: PathBuf,
}

/// Follows a path as far as it exists; a link that leads to nothing says where that nothing would be.
pub(super) fn locate(root: impl AsFd, path: impl AsRef<Path>) -> io::Result<Location> {
    let mut existing = open(&root, "/", OFlags::PATH)?;
    let (mut resolved, mut links) = (PathBuf::from("/"), 0);
    let mut rest = components(path.as_ref());
    while let Some(component) = rest.pop_front() {
        if component == ".." {
            resolved.pop();
            existing = open(&root, &resolved, OFlags::PATH)?;
            continue;
        }
        let found = match open(&root, resolved.join(&component), OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let missing = lexical(std::iter::once(component).chain(rest));
                resolved.extend(&missing);
                return Ok(Location { existing, missing, path: resolved });
            }
            Err(error) => return Err(error),
        };
        if kind(&found)? != FileType::Symlink {
            resolved.push(component);
            existing = found;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            resolved = PathBuf::from("/");
        }
        for component in components(&target).into_iter().rev() {
            rest.push_front(component);
        }
        existing = open(&root, &resolved, OFlags::PATH)?;
    }
    Ok(Location { existing, missing: Vec::new(), path: resolved })
}

fn components(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

/// `..` among names that do not exist can only be taken literally.
fn lexical(components: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut names: Vec<OsString> = Vec::new();
    for component in components {
        if component == ".." {
            names.pop();
        } else {
            names.push(component);
        }
    }
    names
}

/// What stands at the end of a path that had to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Directory,
    /// An empty file, to mount a file on.
    File,
}

/// Opens a mount point, making it and its parents where missing; times of directories that existed stay.
pub(super) fn make(root: impl AsFd, path: impl AsRef<Path>, what: Make) -> io::Result<OwnedFd> {
    make_owned(root, path, what, None)
}

/// The same, with an owner (user, group) for everything that is made.
pub(super) fn make_owned(
    root: impl AsFd,
    path: impl AsRef<Path>,
    what: Make,
    owner: Option<(u32, u32)>,
) -> io::Result<OwnedFd> {
    let path = path.as_ref();
    match open(&root, path, OFlags::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let Location { mut existing, missing, .. } = locate(&root, path)?;
    let times = stat(&existing)?;
    let place = rustix::io::fcntl_dupfd_cloexec(&existing, 0)?;
    let last = missing.len().saturating_sub(1);
    for (depth, name) in missing.iter().enumerate() {
        let what = if depth == last { what } else { Make::Directory };
        existing = make_one(existing.as_fd(), name, what, owner)?;
    }
    // Best effort: the times of a mount point's parent are about reproducible layers, not about the step.
    let _ = set_times(&place, &times);
    Ok(existing)
}

fn make_one(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    what: Make,
    owner: Option<(u32, u32)>,
) -> io::Result<OwnedFd> {
    let made = match what {
        Make::Directory => rustix::fs::mkdirat(parent, name, DIRECTORY_MODE),
        Make::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
            rustix::fs::openat(parent, name, flags, DIRECTORY_MODE).map(drop)
        }
    };
    match made {
        // Somebody else has made it meanwhile: as good, unless it is a link.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)?;
    if let (Ok(()), Some((uid, gid))) = (made, owner) {
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        rustix::fs::chownat(&fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    }
    Ok(fd)
}

pub(super) fn stat(fd: impl AsFd) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(fd)?)
}

pub(super) fn kind(fd: impl AsFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(stat(fd)?.st_mode))
}

/// Gives a directory the access and modification times it had.
pub(super) fn set_times(fd: impl AsFd, stat: &Stat) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    };
    Ok(rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH)?)
}

/// The whole of a small regular file of the tree; none where there is none.
pub(super) fn read(root: impl AsFd, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    // Not blocking, for the image may have a pipe there.
    let file = match open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
        Ok(fd) => std::fs::File::from(fd),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{path} is not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("{path} is larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}

/// A descriptor of a directory or file of the host, by its absolute path.
pub(super) fn open_host(path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    let path = path.as_ref().as_os_str().as_bytes();
    Ok(rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}
