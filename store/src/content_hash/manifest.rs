//! A part of a tree as a list: what its digest stands for, entry by entry.
//!
//! Two equal digests have equal lists: where in its tree a selected path was found does not enter a digest,
//! so it does not enter a list; an entry is named by which selector took it and what follows the
//! selector's [base](Selector::base). Where digests differ, the lists say which entries do, long after one
//! of the trees is gone. Digests come from the mirror that the content digest was computed from;
//! mode, owner and size are looked up, for they are what a difference is told in.
//!
//! ```text
//! manifest = zstd of: "slipway manifest 1\n" [count left out] entry*
//! entry    = [selector] [length path] [mode with file type] [uid] [gid] [size] digest: 16
//! ```
//!
//! Numbers are LEB128. Half of a digest is kept: it tells changes, it proves nothing.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::FileType;
use slipway_model::lexical;
use slipway_model::pattern::glob;

use super::header::EntryKind;
use super::recursive::child_path;
use super::resolve::Found;
use super::tree::{self, Node, Sha256};
use super::{ContentCache, EntryHeader, Result, Selector, Survey};
use crate::inroot;

const MAGIC: &[u8] = b"slipway manifest 1\n";
/// A list that is read back is not larger than this, whatever its compressed bytes say.
const LARGEST: usize = 64 << 20;
/// Files larger than this are not read a second time to tell a new mode from new bytes.
const LARGEST_COMPARED: u64 = 64 << 20;

/// The entries below some selectors, sorted by selector and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub entries: Vec<ManifestEntry>,
    /// How many more there were than could be listed.
    pub left_out: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// The place of the selector in their list.
    pub selector: usize,
    /// What follows the selector's base: empty for itself, else it begins with a slash.
    pub path: Vec<u8>,
    /// Permissions and file type, as `st_mode` has them.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of regular files; else 0.
    pub size: u64,
    pub digest: [u8; 16],
}

/// What of an entry can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Type,
    Content,
    Mode,
    Owner,
    /// Extended attributes: neither of the others explains the digest.
    Attributes,
}

impl ContentCache {
    /// What `selectors` select, at most `limit` entries.
    pub fn manifest(&self, root: BorrowedFd<'_>, selectors: &[Selector], limit: usize) -> Result<Manifest> {
        let whole = [Selector::default()];
        let selectors = if selectors.is_empty() { &whole } else { selectors };
        let mut listed = Vec::new();
        let mut tree = self.tree.lock();
        let mut survey = Survey { root, tree: &mut tree };
        for (index, selector) in selectors.iter().enumerate() {
            survey.listed(index, selector, &mut listed)?;
        }
        drop(tree);
        listed.sort_by(|one, other| one.name().cmp(&other.name()));
        listed.dedup_by(|one, other| one.name() == other.name());
        let left_out = listed.len().saturating_sub(limit);
        let entries = listed.into_iter().take(limit).filter_map(|entry| entry.looked_up(root)).collect();
        Ok(Manifest { entries, left_out })
    }

    /// What differs between `old`, an entry of an earlier tree, and `new`, the same one here, at `path`.
    /// Whether bytes are the same under another mode or owner is found out by hashing them as they were.
    pub fn compare(root: BorrowedFd<'_>, path: &Path, old: &ManifestEntry, new: &ManifestEntry) -> Vec<Part> {
        if old.digest == new.digest {
            return Vec::new();
        }
        let mut parts = Vec::new();
        if old.file_type() != new.file_type() {
            parts.push(Part::Type);
        } else if old.size != new.size || old.file_type() == FileType::Symlink {
            parts.push(Part::Content);
        }
        if old.permissions() != new.permissions() && new.file_type() != FileType::Symlink {
            parts.push(Part::Mode);
        }
        if (old.uid, old.gid) != (new.uid, new.gid) {
            parts.push(Part::Owner);
        }
        let is_file = new.file_type() == FileType::RegularFile;
        match (parts.first(), is_file) {
            (None, true) => parts.push(Part::Content),
            (None, false) => parts.push(Part::Attributes),
            (Some(Part::Mode | Part::Owner), true) if !same_bytes(root, path, old, new) => {
                parts.insert(0, Part::Content);
            }
            _ => {}
        }
        parts
    }
}

/// Whether the file at `path` would have had the digest of `old`, had it `old`'s header.
fn same_bytes(root: BorrowedFd<'_>, path: &Path, old: &ManifestEntry, new: &ManifestEntry) -> bool {
    if new.size > LARGEST_COMPARED {
        return false;
    }
    let Ok(bytes) = inroot::read_to_limit(root, path, LARGEST_COMPARED) else { return false };
    let header = EntryHeader {
        kind: EntryKind::File { size: old.size },
        mode: old.permissions(),
        uid: old.uid,
        gid: old.gid,
        xattrs: Vec::new(),
    };
    let mut hasher = header.hasher();
    hasher.update(&bytes);
    hasher.finish().as_bytes().get(..16) == Some(&old.digest)
}

/// An entry before its metadata is looked up.
struct Listed {
    selector: usize,
    path: Vec<u8>,
    real: Vec<u8>,
    follow: bool,
    digest: Sha256,
}

impl Listed {
    fn name(&self) -> (usize, &[u8]) {
        (self.selector, &self.path)
    }

    /// `None` if it cannot be looked at any more.
    fn looked_up(self, root: BorrowedFd<'_>) -> Option<ManifestEntry> {
        let relative = self.real.strip_prefix(b"/").unwrap_or(&self.real);
        let path = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(relative);
        let stat = inroot::stat(root, Path::new(path), self.follow).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let mut digest = [0; 16];
        digest.iter_mut().zip(self.digest.0).for_each(|(to, from)| *to = from);
        Some(ManifestEntry {
            selector: self.selector,
            path: self.path,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: if is_file { u64::try_from(stat.st_size).unwrap_or_default() } else { 0 },
            digest,
        })
    }
}

impl Survey<'_> {
    fn listed(&mut self, index: usize, selector: &Selector, out: &mut Vec<Listed>) -> Result<()> {
        if selector.is_filtered() {
            let (prefix, selected, digests) = self.selection(selector)?;
            out.extend(selected.into_iter().zip(digests).map(|(entry, digest)| Listed {
                selector: index,
                path: entry.path.strip_prefix(prefix.as_slice()).unwrap_or(&entry.path).to_vec(),
                real: entry.real,
                follow: entry.follow,
                digest,
            }));
            return Ok(());
        }
        let asked = lexical::absolute(selector.path.as_bytes());
        self.path(&asked, selector.follow_links)?;
        let (real, found) = self.resolve(&asked, selector.follow_links)?;
        match found {
            Some(Found::Directory) => self.below(index, real, out),
            Some(_) => {
                if let Some(digest) = self.known_leaf(&real) {
                    out.push(Listed { selector: index, path: Vec::new(), real, follow: false, digest });
                }
            }
            None => {}
        }
        Ok(())
    }

    /// A directory and all below it, whose digests are known.
    fn below(&self, selector: usize, real: Vec<u8>, out: &mut Vec<Listed>) {
        let mut open = vec![(Vec::new(), real)];
        while let Some((path, real)) = open.pop() {
            let Some(directory) = tree::directory(self.tree, &real) else { continue };
            if let Some(digest) = directory.header {
                out.push(Listed { selector, path: path.clone(), real: real.clone(), follow: false, digest });
            }
            for (name, node) in directory.entries.iter().flatten() {
                let (path, real) = ([&path, b"/".as_slice(), name].concat(), child_path(&real, name));
                match node {
                    Node::Directory(_) => open.push((path, real)),
                    Node::File { digest: Some(digest) } | Node::Symlink { digest: Some(digest), .. } => {
                        out.push(Listed { selector, path, real, follow: false, digest: *digest });
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Selector {
    /// Where what it selects begins: the path itself, or of a wildcard the part before it. No slash at its end.
    pub fn base(&self) -> Vec<u8> {
        let path = lexical::absolute(self.path.as_bytes());
        let base = if self.wildcard { glob::split(&path).0 } else { path };
        if base == b"/" { Vec::new() } else { base }
    }
}

impl ManifestEntry {
    /// What names it in its list.
    pub fn name(&self) -> (usize, &[u8]) {
        (self.selector, &self.path)
    }

    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

impl Manifest {
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        write_number(&mut bytes, self.left_out as u64);
        for entry in &self.entries {
            write_number(&mut bytes, entry.selector as u64);
            write_number(&mut bytes, entry.path.len() as u64);
            bytes.extend_from_slice(&entry.path);
            for number in [entry.mode.into(), entry.uid.into(), entry.gid.into(), entry.size] {
                write_number(&mut bytes, number);
            }
            bytes.extend(entry.digest);
        }
        zstd::bulk::compress(&bytes, 1)
    }

    /// `None` for bytes that are no manifest.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = zstd::bulk::decompress(bytes, LARGEST).ok()?;
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let left_out = usize::try_from(read_number(&mut rest)?).ok()?;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let selector = usize::try_from(read_number(&mut rest)?).ok()?;
            let length = usize::try_from(read_number(&mut rest)?).ok()?;
            let path = take(&mut rest, length)?.to_vec();
            let [mode, uid, gid] = [(); 3].map(|()| read_number(&mut rest));
            let size = read_number(&mut rest)?;
            entries.push(ManifestEntry {
                selector,
                path,
                mode: u32::try_from(mode?).ok()?,
                uid: u32::try_from(uid?).ok()?,
                gid: u32::try_from(gid?).ok()?,
                size,
                digest: take(&mut rest, 16)?.try_into().ok()?,
            });
        }
        Some(Self { entries, left_out })
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("src/deep")).unwrap();
        fs::write(tree.path().join("src/a"), "one").unwrap();
        fs::write(tree.path().join("src/deep/b"), "two").unwrap();
        symlink("a", tree.path().join("src/link")).unwrap();
        fs::write(tree.path().join("other"), "three").unwrap();
        tree
    }

    fn list(tree: &tempfile::TempDir, selectors: &[Selector]) -> Manifest {
        let root = fs::File::open(tree.path()).unwrap();
        ContentCache::default().manifest(root.as_fd(), selectors, 100).unwrap()
    }

    fn paths(manifest: &Manifest) -> Vec<String> {
        manifest.entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect()
    }

    #[test]
    fn a_manifest_lists_what_is_selected_and_survives_being_kept() {
        let tree = tree();
        let source = Selector { path: "/src".into(), ..Selector::default() };
        let manifest = list(&tree, std::slice::from_ref(&source));
        assert_eq!(paths(&manifest), ["", "/a", "/deep", "/deep/b", "/link"]);
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes().unwrap()), Some(manifest.clone()));
        let filtered = Selector { exclude: vec!["deep".into()], ..source };
        assert_eq!(paths(&list(&tree, &[filtered])), ["", "/a", "/link"]);
        assert_eq!(list(&tree, &[]).entries.len(), 7, "the root and everything in it");
    }

    #[test]
    fn where_a_selected_path_lies_is_not_in_its_list() {
        let tree = tree();
        fs::create_dir(tree.path().join("moved")).unwrap();
        fs::rename(tree.path().join("src"), tree.path().join("moved/there")).unwrap();
        let at = |path: &str| [Selector { path: path.into(), ..Selector::default() }];
        assert_eq!(list(&tree, &at("/moved/there")), list(&self::tree(), &at("/src")));
        let wildcard = Selector { path: "/src/d*".into(), wildcard: true, ..Selector::default() };
        assert_eq!(wildcard.base(), b"/src");
        assert_eq!(paths(&list(&self::tree(), &[wildcard])), ["/deep", "/deep/b"]);
    }

    #[test]
    fn too_many_entries_are_counted() {
        let tree = tree();
        let root = fs::File::open(tree.path()).unwrap();
        let manifest = ContentCache::default().manifest(root.as_fd(), &[], 2).unwrap();
        assert_eq!((manifest.entries.len(), manifest.left_out), (2, 5));
    }

    #[test]
    fn damaged_bytes_are_no_manifest() {
        let bytes = list(&tree(), &[]).to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&bytes[..bytes.len() - 3]), None);
        assert_eq!(Manifest::from_bytes(b"not compressed"), None);
        let cut = zstd::bulk::compress(b"slipway manifest 1\n\x00\x05ab", 1).unwrap();
        assert_eq!(Manifest::from_bytes(&cut), None);
    }

    #[test]
    fn a_new_mode_is_told_from_new_bytes() {
        let tree = tree();
        let entry = |manifest: &Manifest| {
            manifest.entries.iter().find(|entry| entry.path == b"/src/a").unwrap().clone()
        };
        let old = entry(&list(&tree, &[]));
        let file = tree.path().join("src/a");
        let parts = || {
            let root = fs::File::open(tree.path()).unwrap();
            ContentCache::compare(root.as_fd(), Path::new("src/a"), &old, &entry(&list(&tree, &[])))
        };
        assert_eq!(parts(), []);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(parts(), [Part::Mode]);
        fs::write(&file, "ONE").unwrap();
        assert_eq!(parts(), [Part::Content, Part::Mode]);
        fs::set_permissions(&file, fs::Permissions::from_mode(old.permissions())).unwrap();
        assert_eq!(parts(), [Part::Content]);
    }
}
