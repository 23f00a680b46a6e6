//! Content digests: one digest for a path of a tree, whatever snapshot it is in.
//!
//! An operation that reads only part of an input is cached by the content of that part, so that an
//! input rebuilt with the same bytes still hits. The digests are BuildKit's, byte for byte, because
//! they end up in exported caches.
//!
//! # What enters a digest
//!
//! | entry | digest |
//! |---|---|
//! | regular file | SHA-256 of its [`header`] and its bytes |
//! | symlink, device, fifo, socket | SHA-256 of its header |
//! | directory, its header | SHA-256 of its header |
//! | directory, its content | for itself and then each child, in byte order of names: NUL, name, digest; a child directory gives its content digest |
//! | a selection by wildcard or patterns | for each selected entry: its path with NUL for `/`, its digest; a directory gives its header digest |
//! | a selection of one entry named like the path asked for | that entry's digest |
//! | nothing selected | SHA-256 of nothing |
//! | several selectors ([`ContentCache::checksum`]) | SHA-256 of their digests as text, joined by NUL |
//!
//! A header is the tar header fields of the first Docker versions as text, without name and
//! modification time; so owner, mode, size, link target and extended attributes count, and times
//! and device numbers do not.
//!
//! A tree *received* from a client has no root directory of its own: its root header counts as
//! empty ([`ContentCache::received`]).
//!
//! # What is remembered
//!
//! [`ContentCache`] mirrors the tree as far as it was asked for: directories not yet listed, entries
//! not yet hashed. There is one for each snapshot, which the store keeps beside it. Snapshots do not
//! change once committed, so nothing in it expires and no time stamps are kept; a build can set any
//! time on a file, so they would prove nothing. A snapshot on top of another
//! [inherits](ContentCache::inherit) its parent's digests: only the upper directory of its overlay
//! is walked, unchanged folders are shared in memory, and (written [against the
//! parent](ContentCache::to_bytes)) on disk. So a changed file costs its own size.
//!
//! Links are followed here, inside the mirrored tree, because a digest follows them by text (a
//! missing folder followed by `..` is no error) where the kernel would not. What is opened is only
//! ever a path without links, which the kernel is told to insist on.

mod filtered;
mod hashing;
mod header;
mod listing;
mod manifest;
mod overlay;
mod persist;
mod recursive;
mod resolve;
mod tree;

#[cfg(test)]
mod overlay_law;
#[cfg(test)]
mod tests;

pub use header::{EntryHeader, EntryKind};
pub use manifest::{Manifest, ManifestEntry, Part};
pub use persist::PersistError;

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_model::pattern::PatternError;
use slipway_model::{Digest, lexical};

use listing::DEEPEST;
use tree::{Directory, Node, Sha256};

/// Which part of a tree to digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    pub path: String,
    /// `path` is a wildcard path.
    pub wildcard: bool,
    /// Follow `path` if it is a symlink (links before its last element are always followed).
    pub follow_links: bool,
    /// Patterns below `path`: of these only, and without those.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Beginnings of paths, at least one selected entry each.
    pub required: Vec<String>,
}

impl Selector {
    /// Whether the digest is of a list of entries rather than of the path itself.
    pub fn is_filtered(&self) -> bool {
        self.wildcard || !self.include.is_empty() || !self.exclude.is_empty()
    }
}

/// Why a part of a tree has no digest.
#[derive(Debug, thiserror::Error)]
pub enum ContentHashError {
    /// The path as asked for, absolute.
    #[error("{0:?}: not found")]
    NotFound(String),
    #[error("too many links")]
    TooManyLinks,
    #[error("{0}: no such file or directory")]
    Scratch(String),
    #[error("{0:?}: nested deeper than {DEEPEST} directories")]
    TooDeep(String),
    #[error("invalid {list}patterns: {patterns:?}")]
    Pattern {
        list: &'static str,
        patterns: Vec<String>,
        #[source]
        source: PatternError,
    },
    #[error("cannot {what} {path:?}")]
    Io {
        what: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
}

type Result<T> = std::result::Result<T, ContentHashError>;

/// What is known of one snapshot's content. Cheap to clone and to share between threads.
#[derive(Debug, Default)]
pub struct ContentCache {
    /// The root directory. Held while hashing: two who ask for the same tree share the work.
    tree: Mutex<Arc<Directory>>,
}

impl Clone for ContentCache {
    fn clone(&self) -> Self {
        Self { tree: Mutex::new(self.tree.lock().clone()) }
    }
}

/// The combined digest of `selectors` in the tree at `root`, remembering nothing.
pub fn checksum(root: BorrowedFd<'_>, selectors: &[Selector]) -> Result<Digest> {
    ContentCache::default().checksum(root, selectors)
}

/// [`checksum`] of scratch, the tree without entries and even without a root.
pub fn checksum_of_scratch(selectors: &[Selector]) -> Result<Digest> {
    combine(selectors, |selector| match selector.path.as_str() {
        "/" => Ok(Digest::of("")),
        path => Err(ContentHashError::Scratch(path.to_owned())),
    })
}

impl ContentCache {
    /// For a tree that a client is about to send: empty, and its root counts as having no header.
    pub fn received() -> Self {
        let root =
            Directory { header: Some(Sha256::of(b"")), entries: Some(Default::default()), content: None };
        Self { tree: Mutex::new(Arc::new(root)) }
    }

    /// Whether both know the same: a clone of which nothing was asked that is new to it.
    pub fn is_same(&self, other: &Self) -> bool {
        let own = self.tree.lock().clone();
        Arc::ptr_eq(&own, &other.tree.lock())
    }

    /// The digest by which an operation that reads these parts of its input is cached. No selectors
    /// mean the whole tree.
    pub fn checksum(&self, root: BorrowedFd<'_>, selectors: &[Selector]) -> Result<Digest> {
        combine(selectors, |selector| self.digest(root, selector))
    }

    /// The digest of one part of the tree at `root`.
    pub fn digest(&self, root: BorrowedFd<'_>, selector: &Selector) -> Result<Digest> {
        let mut tree = self.tree.lock();
        let mut survey = Survey { root, tree: &mut tree };
        let digest = if selector.is_filtered() {
            survey.filtered(selector)?
        } else {
            survey.path(selector.path.as_bytes(), selector.follow_links)?
        };
        Ok(Digest::Sha256(digest.0))
    }

    /// Notes an entry that was just written, with the digest computed meanwhile. Parents must have
    /// been noted before. What was there goes away with everything below it, unless both are
    /// directories.
    pub fn insert(&self, path: &str, header: &EntryHeader<'_>, digest: Digest) {
        let Digest::Sha256(digest) = digest else { return };
        self.note(path, header, Some(Sha256(digest)));
    }

    /// As [`Self::insert`], for an entry whose bytes were not hashed on the way: a file is read when
    /// its digest is asked for; all others are hashed now, by their header.
    pub fn announce(&self, path: &str, header: &EntryHeader<'_>) {
        let digest = match (&header.kind, header.hasher().finish()) {
            (EntryKind::File { .. }, _) | (_, Digest::Sha512(_)) => None,
            (_, Digest::Sha256(digest)) => Some(Sha256(digest)),
        };
        self.note(path, header, digest);
    }

    fn note(&self, path: &str, header: &EntryHeader<'_>, digest: Option<Sha256>) {
        let mut tree = self.tree.lock();
        tree::change(&mut tree, path, |entries, name| match &header.kind {
            EntryKind::Directory => {
                let mut directory = match entries.remove(name) {
                    Some(Node::Directory(directory)) => directory,
                    _ => Arc::new(Directory { entries: Some(Default::default()), ..Directory::default() }),
                };
                let changed = Arc::make_mut(&mut directory);
                (changed.header, changed.content) = (digest, None);
                entries.insert(name.into(), Node::Directory(directory));
            }
            EntryKind::Symlink { target } => {
                entries.insert(name.into(), Node::Symlink { target: target.as_ref().into(), digest });
            }
            _ => {
                entries.insert(name.into(), Node::File { digest });
            }
        });
    }

    /// Notes that an entry and everything below it is gone.
    pub fn remove(&self, path: &str) {
        tree::change(&mut self.tree.lock(), path, |entries, name| {
            entries.remove(name);
        });
    }
}

fn combine(selectors: &[Selector], digest: impl Fn(&Selector) -> Result<Digest>) -> Result<Digest> {
    let whole = [Selector::default()];
    let selectors = if selectors.is_empty() { &whole } else { selectors };
    let digests: Vec<String> = selectors
        .iter()
        .map(|selector| {
            // Joining with the root drops a trailing slash. Cleaning keeps whole elements: UTF-8.
            let path = String::from_utf8_lossy(&lexical::absolute(selector.path.as_bytes())).into_owned();
            digest(&Selector { path, ..selector.clone() }).map(|digest| digest.to_string())
        })
        .collect::<Result<_>>()?;
    Ok(Digest::of(digests.join("\0")))
}

/// One question to one tree: the mirror, and where to look up what it does not know.
struct Survey<'a> {
    root: BorrowedFd<'a>,
    tree: &'a mut Arc<Directory>,
}
