//! Inheriting digests: what a snapshot knows from its parent, less what its upper directory changed.
//!
//! The upper directory of an overlay is the complete list of changes: what is in it is new, changed
//! or (a directory) on the way to something changed; a character device 0:0 hides what is below;
//! an opaque directory hides everything below it. Directories above a change are copied up, so their
//! headers are looked at again. That holds for overlays mounted with `index=off`; with the index on, a
//! write through one name of a file of the lower layers shows under its other names too, which are
//! in no upper directory.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::listing::{DEEPEST, io_error, kind_of, node_of};
use super::tree::{Directory, Entries, Node};
use super::{ContentCache, ContentHashError, Result};

impl ContentCache {
    /// What is known of a snapshot made of `self` and the overlay directory `upper` on top. The
    /// cost is that of walking `upper`; nothing is read or hashed.
    pub fn inherit(&self, upper: BorrowedFd<'_>) -> Result<Self> {
        let mut root = self.tree.lock().clone();
        let directory = rustix::io::fcntl_dupfd_cloexec(upper, 0).map_err(io_error("open", b"/"))?;
        apply(Arc::make_mut(&mut root), &directory, b"/".to_vec(), 0)?;
        Ok(Self { tree: parking_lot::Mutex::new(root) })
    }
}

fn apply(directory: &mut Directory, upper: &OwnedFd, path: Vec<u8>, depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(ContentHashError::TooDeep(String::from_utf8_lossy(&path).into_owned()));
    }
    (directory.header, directory.content) = (None, None);
    let marks = Marks::of(upper);
    if marks.redirected {
        // Its lower half has another name there: look again when asked.
        directory.entries = None;
    } else if marks.opaque {
        directory.entries = Some(Entries::new());
    }
    // Entries that were never listed will be, with the changes in them.
    let Some(entries) = &mut directory.entries else { return Ok(()) };
    for entry in Dir::read_from(upper).map_err(io_error("list", &path))? {
        let entry = entry.map_err(io_error("list", &path))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let changed = [path.as_slice(), b"/", name].concat();
            let kind = kind_of(upper, name, entry.file_type()).map_err(io_error("read", &changed))?;
            replace(entries, upper, name, kind, &marks, changed, depth)?;
        }
    }
    Ok(())
}

fn replace(
    entries: &mut Entries,
    upper: &OwnedFd,
    name: &[u8],
    kind: FileType,
    marks: &Marks,
    path: Vec<u8>,
    depth: usize,
) -> Result<()> {
    if kind == FileType::Directory {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let child = rustix::fs::openat(upper, name, flags, Mode::empty()).map_err(io_error("open", &path))?;
        let mut below = match entries.remove(name) {
            Some(Node::Directory(below)) => below,
            _ => Arc::new(Directory { entries: Some(Entries::new()), ..Directory::default() }),
        };
        apply(Arc::make_mut(&mut below), &child, path, depth + 1)?;
        entries.insert(name.into(), Node::Directory(below));
    } else if is_whiteout(upper, name, kind, marks).map_err(io_error("read", &path))? {
        entries.remove(name);
    } else {
        entries.insert(name.into(), node_of(upper, name, kind).map_err(io_error("read", &path))?);
    }
    Ok(())
}

fn is_whiteout(upper: &OwnedFd, name: &[u8], kind: FileType, marks: &Marks) -> rustix::io::Result<bool> {
    match kind {
        FileType::CharacterDevice => {
            rustix::fs::statat(upper, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_rdev == 0)
        }
        FileType::RegularFile if marks.whiteouts_by_xattr => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(upper, name, flags, Mode::empty())?;
            Ok(mark(&file, "whiteout").is_some())
        }
        _ => Ok(false),
    }
}

/// What overlay wrote on an upper directory.
struct Marks {
    opaque: bool,
    /// Whiteouts in it may be marked files instead of devices.
    whiteouts_by_xattr: bool,
    redirected: bool,
}

impl Marks {
    fn of(directory: &OwnedFd) -> Self {
        let opaque = mark(directory, "opaque");
        Self {
            opaque: opaque.as_deref() == Some(b"y"),
            whiteouts_by_xattr: opaque.as_deref() == Some(b"x"),
            redirected: mark(directory, "redirect").is_some(),
        }
    }
}

/// The value of an overlay attribute: `trusted` of a privileged mount, `user` of a rootless one.
fn mark(file: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    ["trusted", "user"].iter().find_map(|space| {
        let length =
            rustix::fs::fgetxattr(file, format!("{space}.overlay.{name}"), buffer.as_mut_slice()).ok()?;
        Some(buffer.get(..length)?.to_vec())
    })
}
