//! Reading a tree that somebody else made, without ever leaving it.
//!
//! Paths are resolved by the kernel with `RESOLVE_IN_ROOT`: absolute paths, absolute symlinks and `..` all
//! stay inside. Only regular files are opened; a device or a pipe of an image is never touched, whatever it
//! would do when opened.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::error::{At as _, Error, Result};

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// A rename that crosses the resolution makes the kernel ask for another try.
const TRIES: usize = 128;

/// The regular file at `path` below `root`, for reading; symlinks are followed inside `root`.
///
/// [`Error::NotAFile`] for what is neither file nor symlink to one.
pub fn open(root: impl AsFd, path: &Path) -> Result<File> {
    // Looked at without opening first. The second look settles it if the name changed in between.
    let found = resolve(root.as_fd(), path, OFlags::PATH).at("open", path)?;
    require_file(&fs::fstat(found).at("stat", path)?, path)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = resolve(root.as_fd(), path, flags).at("open", path)?;
    require_file(&fs::fstat(&file).at("stat", path)?, path)?;
    Ok(file.into())
}

/// The whole file, if it has at most `limit` bytes; else [`Error::TooLarge`].
pub fn read_to_limit(root: impl AsFd, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open(root, path)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.into(), limit });
    }
    Ok(bytes)
}

/// What is at `path`; a symlink at its end is followed if `follow`.
pub fn stat(root: impl AsFd, path: &Path, follow: bool) -> Result<Stat> {
    let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
    let found = resolve(root.as_fd(), path, flags).at("stat", path)?;
    fs::fstat(found).at("stat", path)
}

/// The text of the symlink at `path`.
pub fn read_link(root: impl AsFd, path: &Path) -> Result<OsString> {
    let link = resolve(root.as_fd(), path, OFlags::PATH | OFlags::NOFOLLOW).at("read the link", path)?;
    let text: CString = fs::readlinkat(link, c"", Vec::new()).at("read the link", path)?;
    Ok(OsString::from_vec(text.into_bytes()))
}

/// The directory at `path`, for openat2 and the like.
pub fn open_directory(root: impl AsFd, path: &Path) -> Result<OwnedFd> {
    resolve(root.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY).at("open", path)
}

/// One name of a directory.
pub struct Entry {
    pub name: OsString,
    /// Of the name itself: a symlink is not followed.
    pub stat: Stat,
}

/// The names in the directory at `path`, sorted; at most `limit`, else [`Error::TooLarge`] (in names).
pub fn read_dir(root: impl AsFd, path: &Path, limit: usize) -> Result<Vec<Entry>> {
    let directory = open_directory(root, path)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory).at("list", path)? {
        let entry = entry.at("list", path)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if entries.len() == limit {
            return Err(Error::TooLarge { path: path.into(), limit: limit as u64 });
        }
        match fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            stat => {
                let name = OsString::from_vec(name.to_bytes().to_vec());
                entries.push(Entry { name, stat: stat.at("stat a name in", path)? });
            }
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn resolve(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut tries = 0;
    loop {
        tries += 1;
        match fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), INSIDE) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => {}
            result => return result,
        }
    }
}

fn require_file(stat: &Stat, path: &Path) -> Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Error::NotAFile { path: path.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_outside() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        std::fs::create_dir_all(root.join("etc/dir")).unwrap();
        std::fs::write(place.path().join("secret"), "outside").unwrap();
        std::fs::write(root.join("secret"), "inside").unwrap();
        std::fs::write(root.join("etc/passwd"), "ours").unwrap();
        symlink("/secret", root.join("absolute")).unwrap();
        symlink("../../../../secret", root.join("etc/dir/climbing")).unwrap();
        symlink("/etc", root.join("to-etc")).unwrap();
        symlink("/proc/self/root/etc/passwd", root.join("magic")).unwrap();
        let fd = File::open(&root).unwrap();
        let read =
            |path: &str| read_to_limit(&fd, Path::new(path), 100).map(|b| String::from_utf8(b).unwrap());
        for path in ["secret", "/secret", "../secret", "absolute", "etc/dir/climbing", "../../absolute"] {
            assert_eq!(read(path).unwrap(), "inside", "{path}");
        }
        assert_eq!(read("to-etc/passwd").unwrap(), "ours");
        assert!(read("magic").unwrap_err().is_not_found());
        assert_eq!(read_link(&fd, Path::new("to-etc")).unwrap(), "/etc");
        let follow = stat(&fd, Path::new("absolute"), true).unwrap();
        assert_eq!(FileType::from_raw_mode(follow.st_mode), FileType::RegularFile);
        let no_follow = stat(&fd, Path::new("absolute"), false).unwrap();
        assert_eq!(FileType::from_raw_mode(no_follow.st_mode), FileType::Symlink);
    }

    #[test]
    fn only_files_of_bounded_size_are_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("ten"), "0123456789").unwrap();
        std::fs::create_dir(root.path().join("dir")).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        fs::mknodat(fs::CWD, root.path().join("pipe"), FileType::Fifo, mode, 0).unwrap();
        let fd = File::open(root.path()).unwrap();
        let read = |path: &str, limit| read_to_limit(&fd, Path::new(path), limit);
        assert_eq!(read("ten", 10).unwrap(), b"0123456789");
        assert!(matches!(read("ten", 9), Err(Error::TooLarge { limit: 9, .. })));
        assert!(matches!(read("dir", 10), Err(Error::NotAFile { .. })));
        assert!(matches!(read("pipe", 10), Err(Error::NotAFile { .. })));
        assert!(read("none", 10).unwrap_err().is_not_found());
    }

    #[test]
    fn directories_are_listed_in_order() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b", "a", "c"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let fd = File::open(root.path()).unwrap();
        let names: Vec<_> =
            read_dir(&fd, Path::new("/"), 3).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(matches!(read_dir(&fd, Path::new(""), 2), Err(Error::TooLarge { .. })));
    }
}
