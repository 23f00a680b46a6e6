//! `ADD archive.tar.gz /dir/`: unpacking an archive instead of copying it.
//!
//! What is an archive is told by its bytes, not by its name. Names inside are resolved with the
//! target directory as root, so neither `..` nor a link in the archive leads out of it. Marks that
//! layers use for deletions mean nothing here. Sparse files in the PAX forms of GNU tar are absent.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};

use flate2::read::MultiGzDecoder;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, XattrFlags, makedev};
use rustix::io::Errno;
use slipway_model::lexical;
use tar::EntryType;

use super::create::Made;
use super::metadata::{both, chmod, chown, chown_at, counts, set_times_at};
use super::owner::Owner;
use super::remove::remove_tree;
use super::tree::{Tree, directory_at, is_directory, kind, stat_at};
use super::{FileError, Result};

/// Zstandard frames may ask for this much memory, as a power of two.
const LARGEST_ZSTD_WINDOW: u32 = 27;

/// Unpacks `src` into the directory `dest`; `false`, and nothing done, if it is no archive.
pub(super) fn unpack(
    source: &Tree<'_>,
    src: &[u8],
    target: &Tree<'_>,
    dest: &[u8],
    owner: Option<Owner>,
    time: Option<Timespec>,
) -> Result<bool> {
    let real = source.real_path(src, true)?;
    let regular = |stat| kind(&stat) == FileType::RegularFile;
    if !source.stat(&real)?.is_some_and(regular) {
        return Ok(false);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file: File = source.open(&real, flags).map_err(FileError::io("open", &real))?.into();
    let broken = |error: std::io::Error| FileError::Archive {
        path: String::from_utf8_lossy(&real).into_owned(),
        reason: error.to_string(),
    };
    if !is_archive(&mut file, &real)? {
        return Ok(false);
    }
    let dest = target.real_path(dest, true)?;
    Made { mode: 0o755, owner, time }.directory_and_parents(target, &dest)?;
    let root = target.directory(&dest).map_err(FileError::io("open", &dest))?;
    file.rewind().map_err(broken)?;
    let mut archive = tar::Archive::new(inflate(file, &real)?);
    let mut target = Target { tree: Tree { root: root.as_fd() }, owner, directories: Vec::new() };
    for entry in archive.entries().map_err(broken)? {
        target.entry(&mut entry.map_err(broken)?)?;
    }
    target.finish().map(|()| true)
}

/// The time of the newest regular file in an archive, in seconds since 1970; `None` for what is no archive, or a broken
/// one.
pub(crate) fn newest(file: File) -> Option<i64> {
    let mut archive = tar::Archive::new(inflate(file, b"archive").ok()?);
    let mut newest = None;
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        if entry.header().entry_type() == EntryType::Regular {
            newest = newest.max(i64::try_from(entry.header().mtime().ok()?).ok());
        }
    }
    newest
}

fn is_archive(file: &mut File, path: &[u8]) -> Result<bool> {
    let copy = file.try_clone().map_err(|source| FileError::Io {
        what: "open",
        path: String::from_utf8_lossy(path).into_owned(),
        source,
    })?;
    let mut archive = tar::Archive::new(inflate(copy, path)?);
    Ok(archive.entries().is_ok_and(|mut entries| matches!(entries.next(), Some(Ok(_)))))
}

/// The uncompressed bytes, by what the first ones say.
fn inflate(file: File, path: &[u8]) -> Result<Box<dyn Read>> {
    let broken =
        |reason: String| FileError::Archive { path: String::from_utf8_lossy(path).into_owned(), reason };
    let mut start = [0; 6];
    let read = rustix::io::pread(&file, &mut start, 0).map_err(FileError::io("read", path))?;
    let file = BufReader::with_capacity(128 * 1024, file);
    let unsupported =
        |name: &str| Err(broken(format!("{name} is not supported: use gzip, zstd or no compression")));
    match start.get(..read).unwrap_or_default() {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(file).map_err(|error| broken(error.to_string()))?;
            decoder.window_log_max(LARGEST_ZSTD_WINDOW).map_err(|error| broken(error.to_string()))?;
            Ok(Box::new(decoder))
        }
        [b'B', b'Z', b'h', ..] => unsupported("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => unsupported("xz"),
        _ => Ok(Box::new(file)),
    }
}

struct Target<'a> {
    tree: Tree<'a>,
    owner: Option<Owner>,
    /// Their times are set when nothing more goes into them.
    directories: Vec<(Vec<u8>, Timespec)>,
}

/// What every entry has.
struct Header {
    path: Vec<u8>,
    mode: u32,
    owner: Owner,
    time: Timespec,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Target<'_> {
    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<()> {
        let broken = |path: &[u8], error: std::io::Error| FileError::Archive {
            path: String::from_utf8_lossy(path).into_owned(),
            reason: error.to_string(),
        };
        let name = entry.path_bytes().into_owned();
        let header = self.header(entry, &name).map_err(|error| broken(&name, error))?;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) || header.path == b"/" {
            return Ok(());
        }
        let parent = lexical::parent(&header.path);
        Made { mode: 0o755, owner: self.owner, time: None }.directory_and_parents(&self.tree, &parent)?;
        let parent = self.tree.directory(&parent).map_err(FileError::io("open", &parent))?;
        let name = lexical::base(&header.path);
        let error = |what| FileError::io(what, &header.path);
        let existing = stat_at(&parent, name).map_err(error("lstat"))?;
        let merge = kind == EntryType::Directory && existing.as_ref().is_some_and(is_directory);
        if existing.is_some() && !merge {
            remove_tree(&parent, name, 0).map_err(error("remove"))?;
        }
        match kind {
            EntryType::Directory => self.directory(&parent, name, &header, merge).map_err(error("mkdir")),
            EntryType::Symlink => {
                let text = entry.link_name_bytes().unwrap_or_default();
                rustix::fs::symlinkat(text.as_ref(), &parent, name).map_err(error("symlink"))?;
                named(&parent, name, &header, true).map_err(error("lchown"))
            }
            EntryType::Link => {
                let first = entry.link_name_bytes().unwrap_or_default();
                let first = self.tree.real_path(&first, false)?;
                let (from, first) = self.tree.parent_of(&first).map_err(error("link"))?;
                rustix::fs::linkat(&from, first, &parent, name, AtFlags::empty()).map_err(error("link"))
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let (kind, device) = device(entry.header(), kind);
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(&parent, name, kind, mode, device).map_err(error("mknod"))?;
                named(&parent, name, &header, false).map_err(error("chmod"))
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600));
                let mut file: File = file.map_err(error("open"))?.into();
                std::io::copy(entry, &mut file).map_err(|error| broken(&header.path, error))?;
                opened(&file.into(), &header).map_err(error("chmod"))
            }
            other => {
                Err(broken(&header.path, std::io::Error::other(format!("unhandled entry type {other:?}"))))
            }
        }
    }

    fn header<R: Read>(&self, entry: &mut tar::Entry<'_, R>, name: &[u8]) -> std::io::Result<Header> {
        let (mut xattrs, mut nanoseconds) = (Vec::new(), None);
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                if let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                    xattrs.push((name.to_vec(), extension.value_bytes().to_vec()));
                } else if extension.key_bytes() == b"mtime" {
                    nanoseconds =
                        extension.value().ok().and_then(|text| text.split_once('.')).map(|(_, part)| {
                            format!("{part:0<9}")
                                .get(..9)
                                .and_then(|digits| digits.parse::<i64>().ok())
                                .unwrap_or(0)
                        });
                }
            }
        }
        let header = entry.header();
        let id = |number: u64| u32::try_from(number).map_err(std::io::Error::other);
        let owner = match self.owner {
            Some(owner) => owner,
            None => Owner { uid: id(header.uid()?)?, gid: id(header.gid()?)? },
        };
        let seconds = i64::try_from(header.mtime()?).unwrap_or_default();
        let parent = self
            .tree
            .real_path(&lexical::parent(&lexical::absolute(name)), true)
            .map_err(std::io::Error::other)?;
        let absolute = lexical::absolute(name);
        let path = if absolute == b"/" {
            absolute
        } else {
            [&parent, b"/".as_slice(), lexical::base(&absolute)].concat()
        };
        Ok(Header {
            path: lexical::clean(&path),
            mode: header.mode()? & 0o7777,
            owner,
            time: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.unwrap_or(0) },
            xattrs,
        })
    }

    fn directory(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        header: &Header,
        merge: bool,
    ) -> rustix::io::Result<()> {
        if !merge {
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
        }
        opened(&directory_at(parent, name)?, header)?;
        self.directories.push((header.path.clone(), header.time));
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        for (path, time) in &self.directories {
            match self
                .tree
                .directory(path)
                .and_then(|directory| rustix::fs::futimens(directory, &both(*time)))
            {
                // Replaced by a later entry.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                result => result.map_err(FileError::io("utime", path))?,
            }
        }
        Ok(())
    }
}

fn device(header: &tar::Header, kind: EntryType) -> (FileType, u64) {
    let number = |part: std::io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
    let device = makedev(number(header.device_major()), number(header.device_minor()));
    match kind {
        EntryType::Char => (FileType::CharacterDevice, device),
        EntryType::Block => (FileType::BlockDevice, device),
        _ => (FileType::Fifo, 0),
    }
}

/// Attributes of a file or directory that is open.
fn opened(file: &OwnedFd, header: &Header) -> rustix::io::Result<()> {
    chown(file, header.owner)?;
    chmod(file, header.mode)?;
    for (name, value) in header.xattrs.iter().filter(|(name, _)| counts(name)) {
        // As far as the target can hold them.
        let _ = rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty());
    }
    rustix::fs::futimens(file, &both(header.time))
}

/// Attributes of what must not be opened.
fn named(parent: &OwnedFd, name: &[u8], header: &Header, link: bool) -> rustix::io::Result<()> {
    chown_at(parent, name, header.owner)?;
    if !link {
        rustix::fs::chmodat(parent, name, Mode::from_raw_mode(header.mode), AtFlags::empty())?;
    }
    set_times_at(parent, name, &both(header.time))
}
