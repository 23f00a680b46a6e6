//! A client's directory between builds, and what is known of it.
//!
//! | name | holds |
//! |---|---|
//! | `files` | what the client has sent |
//! | `index` | the stats of all of it |
//! | `digests` | its content digests, as far as somebody has asked for them |
//! | `links` | at which path snapshots hold its files |
//!
//! The last three are of no use without each other, and true only until something changes: they go away before the
//! first change and are written when it is over. A directory without them holds an unknown rest of a broken transfer
//! and is emptied first. A build to which nothing new was sent, and which learnt nothing, writes nothing.

use std::collections::HashSet;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use prost::Message;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use slipway_model::Digest;
use slipway_model::mount::Tree;
use slipway_proto::fsutil::Stat;
use slipway_session::fsutil::{BeforeChange, Received, mode};
use slipway_store::content_hash::{ContentCache, EntryHeader, EntryKind, Manifest, Selector};
use slipway_store::{CacheMount, Mounted};

use crate::source::links::Links;
use crate::{Error, Result};

const FILES: &str = "files";
const INDEX: &str = "index";
const DIGESTS: &str = "digests";
const LINKS: &str = "links";

/// A directory as an earlier build left it.
pub(super) struct Kept {
    directory: CacheMount,
    pub(super) index: Vec<Stat>,
    digests: ContentCache,
    links: Links,
    /// What the files beside it say of the last two, if there are any.
    written: Option<Written>,
}

struct Written {
    digests: ContentCache,
    links: Vec<u8>,
}

impl Kept {
    pub(super) fn open(directory: CacheMount) -> Result<Self> {
        let path = directory.directory();
        let read = |name: &str| std::fs::read(path.join(name)).ok();
        let index = read(INDEX).and_then(|bytes| read_index(&bytes));
        let digests = read(DIGESTS).and_then(|bytes| ContentCache::from_bytes(&bytes, None).ok());
        let links = read(LINKS).and_then(|bytes| Some((Links::from_bytes(&bytes)?, bytes)));
        if let (Some(index), Some(digests), Some((links, bytes))) = (index, digests, links) {
            let written = Some(Written { digests: digests.clone(), links: bytes });
            return Ok(Self { directory, index, digests, links, written });
        }
        let failed = |error: std::io::Error| Error::io(format!("cannot use {}", path.display()), error);
        forget(&path).map_err(failed)?;
        let files = path.join(FILES);
        if files.exists() {
            std::fs::remove_dir_all(&files).map_err(failed)?;
        }
        std::fs::create_dir(&files).map_err(failed)?;
        let (digests, links) = (ContentCache::received(), Links::default());
        Ok(Self { directory, index: Vec::new(), digests, links, written: None })
    }

    /// Where the files are.
    pub(super) fn root(&self) -> Result<OwnedFd> {
        let files = self.directory.directory().join(FILES);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &files, flags, Mode::empty()).map_err(|error| {
            Error::io(format!("cannot use {}", files.display()), std::io::Error::from(error))
        })
    }

    /// To be done before anything changes.
    pub(super) fn forget(&self) -> BeforeChange {
        let path = self.directory.directory().to_owned();
        Box::new(move || forget(&path))
    }

    /// For a build, after the transfer.
    pub(super) fn into_context(self, received: &Received) -> Result<Context> {
        let Self { directory, digests, links, mut written, .. } = self;
        if received.is_changed || written.is_none() {
            written = None; // what it shares would be copied where it changes
            learn(&digests, received);
            let path = directory.directory().join(INDEX);
            std::fs::write(&path, write_index(&received.index))
                .map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
        }
        let is_link = |stat: &Stat| mode::has_data(stat.mode) && !stat.linkname.is_empty();
        let hard_links = received.index.iter().any(is_link);
        Ok(Context { directory, digests, links, written, hard_links })
    }
}

/// Until somebody writes it down again, nothing is known.
fn forget(directory: &Path) -> std::io::Result<()> {
    [INDEX, DIGESTS, LINKS].iter().try_for_each(|name| remove_file(&directory.join(name)))
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A received directory, held by one build until it is done with it.
pub struct Context {
    directory: CacheMount,
    digests: ContentCache,
    links: Links,
    written: Option<Written>,
    /// Files with several names have no path of their own: they are copied.
    hard_links: bool,
}

impl Context {
    pub fn tree(&self) -> Tree {
        Tree::Bind { source: self.directory.directory().join(FILES), readonly: true }
    }

    pub fn mount(&self) -> Result<Mounted> {
        Ok(Mounted::new(&self.tree())?)
    }

    /// Where it is kept.
    pub(crate) fn directory(&self) -> &CacheMount {
        &self.directory
    }

    /// Whether snapshots may hold the files at and below `source`, at `target`, without copying them.
    pub(crate) fn may_link(&self, source: &[u8], target: &[u8]) -> bool {
        // What is written down does not say so yet, and must not be believed after a crash.
        let forget = || remove_file(&self.directory.directory().join(LINKS)).is_ok();
        !self.hard_links && self.links.claim(source, target, forget)
    }

    pub fn content_digest(&self, selectors: &[Selector]) -> Result<Digest> {
        let root = self.mount()?;
        Ok(self.digests.checksum(root.root(), selectors)?)
    }

    /// What `selectors` select, in `root`.
    pub(crate) fn manifest(
        &self,
        root: BorrowedFd<'_>,
        selectors: &[Selector],
        limit: usize,
    ) -> Result<Manifest> {
        Ok(self.digests.manifest(root, selectors, limit)?)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.directory.directory().join(name);
        if let Err(error) = std::fs::write(&path, bytes) {
            tracing::debug!(%error, path = %path.display(), "what is known of a client's files is not kept");
        }
    }
}

impl Drop for Context {
    /// What was hashed need not be hashed again by the next build.
    fn drop(&mut self) {
        if self.written.as_ref().is_none_or(|written| !written.digests.is_same(&self.digests)) {
            self.write(DIGESTS, &self.digests.to_bytes(None));
        }
        let links = self.links.to_bytes();
        if self.written.as_ref().is_none_or(|written| written.links != links) {
            self.write(LINKS, &links);
        }
    }
}

/// Tells `digests` what the transfer has left in the directory.
fn learn(digests: &ContentCache, received: &Received) {
    let mut changed: HashSet<&str> = received.changed.iter().map(String::as_str).collect();
    // A directory that only has another time keeps what is known of its content.
    for stat in received.index.iter() {
        if changed.remove(stat.path.as_str())
            && let Some(header) = header(stat)
        {
            match received.digests.get(&stat.path) {
                Some(digest) => digests.insert(&stat.path, &header, *digest),
                None => digests.announce(&stat.path, &header),
            }
        }
    }
    for gone in changed {
        digests.remove(gone);
    }
}

pub(super) fn header(stat: &Stat) -> Option<EntryHeader<'_>> {
    let kind = match mode::file_type(stat.mode) {
        FileType::RegularFile => EntryKind::File { size: u64::try_from(stat.size).unwrap_or(0) },
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink { target: stat.linkname.as_bytes().into() },
        FileType::CharacterDevice => EntryKind::CharacterDevice,
        FileType::BlockDevice => EntryKind::BlockDevice,
        FileType::Fifo => EntryKind::Fifo,
        _ => return None,
    };
    let xattrs = stat.xattrs.iter().map(|(key, value)| (key.clone().into_bytes(), value.to_vec())).collect();
    Some(EntryHeader { kind, mode: mode::permissions(stat.mode), uid: stat.uid, gid: stat.gid, xattrs })
}

/// The stats one after the other, each with its length, and a digest of them all in front.
fn write_index(index: &[Stat]) -> Vec<u8> {
    let mut body = Vec::new();
    for stat in index {
        // Writing into a Vec cannot run out of room.
        let _ = stat.encode_length_delimited(&mut body);
    }
    let mut bytes = Digest::of(&body).as_bytes().to_vec();
    bytes.append(&mut body);
    bytes
}

/// `None` if it is not whole.
fn read_index(bytes: &[u8]) -> Option<Vec<Stat>> {
    let (digest, mut body) = bytes.split_at_checked(32)?;
    if Digest::of(body).as_bytes() != digest {
        return None;
    }
    let mut index = Vec::new();
    while !body.is_empty() {
        index.push(Stat::decode_length_delimited(&mut body).ok()?);
    }
    Some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_index_is_no_index() {
        let stat = Stat { path: "a".into(), size: 3, ..Stat::default() };
        let bytes = write_index(std::slice::from_ref(&stat));
        assert_eq!(read_index(&bytes), Some(vec![stat]));
        assert_eq!(read_index(&bytes[..bytes.len() - 1]), None);
        assert_eq!(read_index(b"short"), None);
        assert_eq!(read_index(&write_index(&[])), Some(Vec::new()));
    }
}
