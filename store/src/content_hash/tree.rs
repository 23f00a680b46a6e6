//! The mirror of a tree: names, kinds and digests, as far as they are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::Digest as _;
use slipway_model::lexical;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sha256(pub(super) [u8; 32]);

impl Sha256 {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// As digests enter other digests: `sha256:…`.
    pub(super) fn text(&self) -> String {
        slipway_model::Digest::Sha256(self.0).to_string()
    }
}

pub(super) type Entries = BTreeMap<Box<[u8]>, Node>;

/// A directory; shared between snapshots in which it is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// Of itself alone.
    pub(super) header: Option<Sha256>,
    /// Of itself and everything below.
    pub(super) content: Option<Sha256>,
    /// `None`: not looked into yet.
    pub(super) entries: Option<Entries>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Directory(Arc<Directory>),
    Symlink {
        target: Box<[u8]>,
        digest: Option<Sha256>,
    },
    /// Anything else, devices too.
    File {
        digest: Option<Sha256>,
    },
}

/// The elements of a path that is relative, or absolute, and clean.
pub(super) fn elements(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|element| !element.is_empty())
}

/// The directory at a path without links, for writing; what it shares with other trees is copied.
pub(super) fn directory_mut<'a>(root: &'a mut Arc<Directory>, path: &[u8]) -> Option<&'a mut Directory> {
    let mut directory = Arc::make_mut(root);
    for name in elements(path) {
        match directory.entries.as_mut()?.get_mut(name)? {
            Node::Directory(child) => directory = Arc::make_mut(child),
            _ => return None,
        }
    }
    Some(directory)
}

/// The directory at a path without links.
pub(super) fn directory<'a>(root: &'a Arc<Directory>, path: &[u8]) -> Option<&'a Arc<Directory>> {
    let mut directory = root;
    for name in elements(path) {
        match directory.entries.as_ref()?.get(name)? {
            Node::Directory(child) => directory = child,
            _ => return None,
        }
    }
    Some(directory)
}

/// Changes the entries of the parent of `path`; all folders above forget their content digest. A
/// parent that was never looked into stays so, and will be listed with the change in it.
pub(super) fn change(root: &mut Arc<Directory>, path: &str, edit: impl FnOnce(&mut Entries, &[u8])) {
    let path = lexical::absolute(path.as_bytes());
    let parent = lexical::parent(&path);
    if path == b"/" {
        return;
    }
    let mut directory = Arc::make_mut(root);
    directory.content = None;
    for name in elements(&parent) {
        match directory.entries.as_mut().and_then(|entries| entries.get_mut(name)) {
            Some(Node::Directory(child)) => directory = Arc::make_mut(child),
            _ => return,
        }
        directory.content = None;
    }
    if let Some(entries) = &mut directory.entries {
        edit(entries, lexical::base(&path));
    }
}
