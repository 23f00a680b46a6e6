//! Looking into directories of the real tree, when first asked for.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};

use super::tree::{self, Entries, Node};
use super::{ContentHashError, Result, Survey};

/// No directory of a real image comes near; a hostile one does not get to fill the memory.
const MOST_ENTRIES: usize = 4_000_000;
/// Trees are walked, and dropped, by recursion on stacks of ordinary size.
pub(super) const DEEPEST: usize = 512;

impl Survey<'_> {
    /// Makes sure the entries of the directory at `path` are known. What is no directory stays so.
    pub(super) fn list(&mut self, path: &[u8]) -> Result<()> {
        let Some(directory) = tree::directory(self.tree, path) else { return Ok(()) };
        if directory.entries.is_some() {
            return Ok(());
        }
        if tree::elements(path).count() > DEEPEST {
            return Err(ContentHashError::TooDeep(String::from_utf8_lossy(path).into_owned()));
        }
        let entries =
            open_directory(self.root, path).and_then(read_entries).map_err(io_error("list", path))?;
        if let Some(directory) = tree::directory_mut(self.tree, path) {
            directory.entries = Some(entries);
        }
        Ok(())
    }
}

/// Opens a directory by a path that must not lead through any link.
pub(super) fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    let relative = if relative.is_empty() { b"." } else { relative };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, relative, flags, Mode::empty(), resolve)
}

fn read_entries(directory: OwnedFd) -> rustix::io::Result<Entries> {
    let mut entries = Entries::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = kind_of(&directory, name, entry.file_type())?;
        entries.insert(name.into(), node_of(&directory, name, kind)?);
        if entries.len() > MOST_ENTRIES {
            return Err(rustix::io::Errno::OVERFLOW);
        }
    }
    Ok(entries)
}

/// Some file systems do not say the kind in the listing.
pub(super) fn kind_of(directory: &OwnedFd, name: &[u8], kind: FileType) -> rustix::io::Result<FileType> {
    if kind != FileType::Unknown {
        return Ok(kind);
    }
    let stat = rustix::fs::statat(directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// An entry of which only the name and kind are known.
pub(super) fn node_of(directory: &OwnedFd, name: &[u8], kind: FileType) -> rustix::io::Result<Node> {
    Ok(match kind {
        FileType::Directory => Node::Directory(Default::default()),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
            Node::Symlink { target: target.into_bytes().into(), digest: None }
        }
        _ => Node::File { digest: None },
    })
}

pub(super) fn io_error(
    what: &'static str,
    path: &[u8],
) -> impl FnOnce(rustix::io::Errno) -> ContentHashError + use<> {
    let path = String::from_utf8_lossy(path).into_owned();
    move |errno| ContentHashError::Io { what, path, source: errno.into() }
}
