//! The header of an entry: the text that enters its digest before its bytes.
//!
//! Name and value follow each other without separators, in the order of the first Docker tarsum
//! version: `name` (empty), `mode`, `uid`, `gid`, `size`, `typeflag`, `linkname`, `uname` and
//! `gname` (empty), `devmajor` and `devminor` (always 0: the reference never gets to filling them),
//! then the extended attributes that count, sorted by name.

use std::borrow::Cow;

use slipway_model::Hasher;

/// What of an entry's metadata counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryHeader<'a> {
    pub kind: EntryKind<'a>,
    /// Permission bits with setuid, setgid and sticky. Ignored for symlinks.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Name and value; those that do not count may be among them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// `size` in bytes. Hard links are files like any other.
    File {
        size: u64,
    },
    Directory,
    Symlink {
        target: Cow<'a, [u8]>,
    },
    CharacterDevice,
    BlockDevice,
    Fifo,
    /// Counts as an empty file.
    Socket,
}

impl EntryHeader<'_> {
    /// A hasher that has taken the header; a regular file's bytes come next.
    pub fn hasher(&self) -> Hasher {
        let mut hasher = Hasher::default();
        hasher.update(&self.text());
        hasher
    }

    fn text(&self) -> Vec<u8> {
        let (mode, size, flag, target) = match &self.kind {
            EntryKind::File { size } => (self.mode, *size, '0', [].as_slice()),
            EntryKind::Socket => (self.mode, 0, '0', [].as_slice()),
            EntryKind::Symlink { target } => (0o777, 0, '2', target.as_ref()),
            EntryKind::CharacterDevice => (self.mode, 0, '3', [].as_slice()),
            EntryKind::BlockDevice => (self.mode, 0, '4', [].as_slice()),
            EntryKind::Directory => (self.mode, 0, '5', [].as_slice()),
            EntryKind::Fifo => (self.mode, 0, '6', [].as_slice()),
        };
        let (uid, gid, mode) = (self.uid, self.gid, mode & 0o7777);
        let mut text = format!("namemode{mode}uid{uid}gid{gid}size{size}typeflag{flag}linkname").into_bytes();
        text.extend_from_slice(target);
        text.extend_from_slice(b"unamegnamedevmajor0devminor0");
        let mut counted: Vec<_> = self.xattrs.iter().filter(|(name, _)| counts(name)).collect();
        counted.sort();
        for (name, value) in counted {
            text.extend_from_slice(name);
            text.extend_from_slice(value);
        }
        text
    }
}

/// Labels and access lists depend on the machine, and overlay's marks on how the tree is stored;
/// capabilities belong to the file.
fn counts(name: &[u8]) -> bool {
    let left_out: [&[u8]; 4] = [b"security.", b"system.", b"trusted.overlay.", b"user.overlay."];
    name == b"security.capability" || !left_out.iter().any(|prefix| name.starts_with(prefix))
}
