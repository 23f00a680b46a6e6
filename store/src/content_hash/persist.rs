//! A content cache as bytes, for the store to keep beside a snapshot.
//!
//! ```text
//! cache     = "slipway content 1\n" directory
//! directory = flags [header: 32] [content: 32] [count entry*]      flags: 1 header, 2 content, 4 entries
//! entry     = length name node
//! node      = 0 directory | 1 "same as in the parent" | 2 file | 3 file digest: 32
//!           | 4 length target | 5 length target digest: 32
//! ```
//!
//! Numbers are LEB128. "Same as in the parent" stands for a directory shared with the parent
//! snapshot's cache; without that cache at hand it reads as "not looked into yet", which is never
//! wrong.

use std::sync::Arc;

use super::ContentCache;
use super::listing::DEEPEST;
use super::tree::{Directory, Entries, Node, Sha256};

const MAGIC: &[u8] = b"slipway content 1\n";

/// Bytes that are no content cache. The remedy is to start from an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("content cache is damaged at byte {0}")]
pub struct PersistError(usize);

impl ContentCache {
    /// With `parent`, the cache this one was inherited from, what both share is left out.
    pub fn to_bytes(&self, parent: Option<&Self>) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let parent = parent.map(|parent| parent.tree.lock().clone());
        let tree = self.tree.lock().clone();
        write_directory(&mut bytes, &tree, parent.as_deref());
        bytes
    }

    /// `parent` is the cache given to [`to_bytes`](Self::to_bytes), as far as there still is one.
    pub fn from_bytes(bytes: &[u8], parent: Option<&Self>) -> Result<Self, PersistError> {
        let parent = parent.map(|parent| parent.tree.lock().clone());
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(PersistError(0));
        }
        let root = reader.directory(parent.as_deref(), 0)?;
        if reader.at != bytes.len() {
            return Err(PersistError(reader.at));
        }
        Ok(Self { tree: parking_lot::Mutex::new(Arc::new(root)) })
    }
}

fn write_directory(bytes: &mut Vec<u8>, directory: &Directory, parent: Option<&Directory>) {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    bytes.push(
        flag(directory.header.is_some(), 1)
            | flag(directory.content.is_some(), 2)
            | flag(directory.entries.is_some(), 4),
    );
    for digest in [directory.header, directory.content].into_iter().flatten() {
        bytes.extend(digest.0);
    }
    let Some(entries) = &directory.entries else { return };
    write_number(bytes, entries.len());
    for (name, node) in entries {
        write_bytes(bytes, name);
        let before = parent.and_then(|parent| parent.entries.as_ref()?.get(name));
        write_node(bytes, node, before);
    }
}

fn write_node(bytes: &mut Vec<u8>, node: &Node, before: Option<&Node>) {
    match (node, before) {
        (Node::Directory(now), Some(Node::Directory(before))) if Arc::ptr_eq(now, before) => bytes.push(1),
        (Node::Directory(now), before) => {
            bytes.push(0);
            let before = match before {
                Some(Node::Directory(before)) => Some(before.as_ref()),
                _ => None,
            };
            write_directory(bytes, now, before);
        }
        (Node::File { digest }, _) => {
            bytes.push(if digest.is_some() { 3 } else { 2 });
            bytes.extend(digest.iter().flat_map(|digest| digest.0));
        }
        (Node::Symlink { target, digest }, _) => {
            bytes.push(if digest.is_some() { 5 } else { 4 });
            write_bytes(bytes, target);
            bytes.extend(digest.iter().flat_map(|digest| digest.0));
        }
    }
}

fn write_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    write_number(bytes, value.len());
    bytes.extend_from_slice(value);
}

fn write_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self) -> PersistError {
        PersistError(self.at)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PersistError> {
        let end = self.at.checked_add(length).ok_or(self.damaged())?;
        let taken = self.bytes.get(self.at..end).ok_or(self.damaged())?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, PersistError> {
        self.take(1)?.first().copied().ok_or(self.damaged())
    }

    fn number(&mut self) -> Result<usize, PersistError> {
        let mut number = 0_usize;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.damaged())
    }

    fn sized(&mut self) -> Result<&'a [u8], PersistError> {
        let length = self.number()?;
        self.take(length)
    }

    fn digest(&mut self) -> Result<Sha256, PersistError> {
        self.take(32)?.try_into().map(Sha256).map_err(|_| self.damaged())
    }

    fn directory(&mut self, parent: Option<&Directory>, depth: usize) -> Result<Directory, PersistError> {
        let flags = self.byte()?;
        if flags > 7 || depth > DEEPEST + 1 {
            return Err(self.damaged());
        }
        let header = if flags & 1 != 0 { Some(self.digest()?) } else { None };
        let content = if flags & 2 != 0 { Some(self.digest()?) } else { None };
        let entries = if flags & 4 != 0 { Some(self.entries(parent, depth)?) } else { None };
        Ok(Directory { header, content, entries })
    }

    fn entries(&mut self, parent: Option<&Directory>, depth: usize) -> Result<Entries, PersistError> {
        let mut entries = Entries::new();
        for _ in 0..self.number()? {
            let name = self.sized()?;
            let before = parent.and_then(|parent| parent.entries.as_ref()?.get(name));
            let node = self.node(before, depth)?;
            let fine = !name.is_empty() && !name.contains(&b'/') && !name.contains(&0);
            if !fine || entries.insert(name.into(), node).is_some() {
                return Err(self.damaged());
            }
        }
        Ok(entries)
    }

    fn node(&mut self, before: Option<&Node>, depth: usize) -> Result<Node, PersistError> {
        let before = match before {
            Some(Node::Directory(before)) => Some(before),
            _ => None,
        };
        Ok(match self.byte()? {
            0 => Node::Directory(Arc::new(self.directory(before.map(Arc::as_ref), depth + 1)?)),
            1 => Node::Directory(before.cloned().unwrap_or_default()),
            2 => Node::File { digest: None },
            3 => Node::File { digest: Some(self.digest()?) },
            4 => Node::Symlink { target: self.sized()?.into(), digest: None },
            5 => Node::Symlink { target: self.sized()?.into(), digest: Some(self.digest()?) },
            _ => return Err(self.damaged()),
        })
    }
}
