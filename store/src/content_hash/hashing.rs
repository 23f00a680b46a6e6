//! Hashing entries, on all cores: each file is opened once and read once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::header::{EntryHeader, EntryKind};
use super::listing::{io_error, open_directory};
use super::tree::{self, Node, Sha256};
use super::{Result, Survey};

/// Entries of one directory that a thread takes at a time.
const BATCH: usize = 16;
/// Names and values of extended attributes are at most this large (Linux: `XATTR_SIZE_MAX`).
const LARGEST_XATTR: usize = 64 * 1024;
const READ_BUFFER: usize = 256 * 1024;

/// Entries of one directory that need a digest.
pub(super) struct Wanted {
    pub(super) directory: Vec<u8>,
    /// The directory's own header too.
    pub(super) header: bool,
    pub(super) names: Vec<Box<[u8]>>,
}

impl Survey<'_> {
    /// Hashes what is wanted and notes it in the mirror.
    pub(super) fn hash(&mut self, wanted: Vec<Wanted>) -> Result<()> {
        let batches = split(wanted);
        for (batch, digests) in batches.iter().zip(hash_all(self.root, &batches)?) {
            self.note(batch, digests);
        }
        Ok(())
    }

    fn note(&mut self, batch: &Wanted, digests: Vec<Sha256>) {
        let Some(directory) = tree::directory_mut(self.tree, &batch.directory) else { return };
        let mut digests = digests.into_iter();
        if batch.header {
            directory.header = digests.next();
        }
        let Some(entries) = &mut directory.entries else { return };
        for (name, hashed) in batch.names.iter().zip(digests) {
            if let Some(Node::File { digest } | Node::Symlink { digest, .. }) = entries.get_mut(name) {
                *digest = Some(hashed);
            }
        }
    }
}

fn split(wanted: Vec<Wanted>) -> Vec<Wanted> {
    let mut batches = Vec::new();
    for Wanted { directory, header, names } in wanted {
        if names.is_empty() && header {
            batches.push(Wanted { directory: directory.clone(), header, names: Vec::new() });
        }
        for (index, names) in names.chunks(BATCH).enumerate() {
            batches.push(Wanted {
                directory: directory.clone(),
                header: header && index == 0,
                names: names.to_vec(),
            });
        }
    }
    batches
}

/// The digests of each batch, in its order: the header first, if wanted.
fn hash_all(root: BorrowedFd<'_>, batches: &[Wanted]) -> Result<Vec<Vec<Sha256>>> {
    let results: Vec<Mutex<Option<Result<Vec<Sha256>>>>> = batches.iter().map(|_| Mutex::default()).collect();
    let (next, stop, hard_links) = (AtomicUsize::new(0), AtomicBool::new(false), HardLinks::default());
    let work = || {
        let mut reader = Reader { root, hard_links: &hard_links, buffer: vec![0; READ_BUFFER] };
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(batch), Some(slot)) = (batches.get(index), results.get(index)) else { return };
            let result = reader.batch(batch);
            stop.fetch_or(result.is_err(), Ordering::Relaxed);
            *slot.lock() = Some(result);
        }
    };
    match crate::cores().min(batches.len()) {
        0 | 1 => work(),
        threads => std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work)))),
    }
    // Batches are taken in order, so whatever stands before the first error is done.
    results.into_iter().map_while(Mutex::into_inner).collect()
}

/// Names of one file are read once.
type HardLinks = Mutex<HashMap<(u64, u64), Sha256>>;

struct Reader<'a> {
    root: BorrowedFd<'a>,
    hard_links: &'a HardLinks,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    fn batch(&mut self, batch: &Wanted) -> Result<Vec<Sha256>> {
        let directory =
            open_directory(self.root, &batch.directory).map_err(io_error("open", &batch.directory))?;
        let mut digests = Vec::with_capacity(batch.names.len() + 1);
        if batch.header {
            digests.push(self.directory(&directory).map_err(io_error("read", &batch.directory))?);
        }
        for name in &batch.names {
            let path = || [batch.directory.as_slice(), b"/", name].concat();
            digests.push(self.entry(&directory, name).map_err(|errno| io_error("read", &path())(errno))?);
        }
        Ok(digests)
    }

    fn directory(&mut self, directory: &OwnedFd) -> rustix::io::Result<Sha256> {
        let stat = rustix::fs::fstat(directory)?;
        let xattrs = self.xattrs(&Handle::Open(directory.as_fd()))?;
        Ok(finish(header_of(&stat, EntryKind::Directory, xattrs).hasher()))
    }

    fn entry(&mut self, directory: &OwnedFd, name: &[u8]) -> rustix::io::Result<Sha256> {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return self.file(directory, name, &stat);
        }
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
                EntryKind::Symlink { target: Cow::Owned(target.into_bytes()) }
            }
            FileType::CharacterDevice => EntryKind::CharacterDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            // A directory has other digests; it became one after it was listed.
            _ => return Err(Errno::ISDIR),
        };
        let xattrs = self.xattrs(&Handle::Entry(directory.as_fd(), name))?;
        Ok(finish(header_of(&stat, kind, xattrs).hasher()))
    }

    fn file(&mut self, directory: &OwnedFd, name: &[u8], stat: &Stat) -> rustix::io::Result<Sha256> {
        let linked = (stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
        if let Some(digest) = linked.and_then(|key| self.hard_links.lock().get(&key).copied()) {
            return Ok(digest);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let xattrs = self.xattrs(&Handle::Open(file.as_fd()))?;
        let mut hasher = header_of(stat, EntryKind::File { size }, xattrs).hasher();
        let mut left = size;
        while left > 0 {
            let count = match rustix::io::read(&file, self.buffer.as_mut_slice()) {
                Err(Errno::INTR) => continue,
                count => count?,
            };
            if count == 0 {
                break;
            }
            hasher.update(self.buffer.get(..count).unwrap_or_default());
            left = left.saturating_sub(count as u64);
        }
        let digest = finish(hasher);
        if let Some(key) = linked {
            self.hard_links.lock().insert(key, digest);
        }
        Ok(digest)
    }

    fn xattrs(&mut self, handle: &Handle<'_>) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let buffer = self.buffer.get_mut(..LARGEST_XATTR).unwrap_or_default();
        let names = match handle.list(buffer) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
            length => buffer.get(..length?).unwrap_or_default().to_vec(),
        };
        let mut xattrs = Vec::new();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            // One that cannot be read does not count, in the reference as here.
            if let Ok(length) = handle.get(name, buffer) {
                xattrs.push((name.to_vec(), buffer.get(..length).unwrap_or_default().to_vec()));
            }
        }
        Ok(xattrs)
    }
}

/// Something with extended attributes: open, or an entry that must not be opened or followed.
enum Handle<'a> {
    Open(BorrowedFd<'a>),
    Entry(BorrowedFd<'a>, &'a [u8]),
}

impl Handle<'_> {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, buffer),
            Self::Entry(..) => rustix::fs::llistxattr(self.path(), buffer),
        }
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd, name, buffer),
            Self::Entry(..) => rustix::fs::lgetxattr(self.path(), name, buffer),
        }
    }

    /// Through the open directory, so that only the last element is looked up, and not followed.
    fn path(&self) -> Vec<u8> {
        match self {
            Self::Open(_) => Vec::new(),
            Self::Entry(directory, name) => {
                [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat()
            }
        }
    }
}

fn header_of<'a>(stat: &Stat, kind: EntryKind<'a>, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> EntryHeader<'a> {
    EntryHeader { kind, mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, xattrs }
}

fn finish(hasher: slipway_model::Hasher) -> Sha256 {
    match hasher.finish() {
        slipway_model::Digest::Sha256(digest) => Sha256(digest),
        longer => Sha256::of(longer.as_bytes()),
    }
}
