//! The digest of a path with everything below it.

use std::sync::Arc;

use sha2::Digest as _;
use slipway_model::lexical;

use super::hashing::Wanted;
use super::resolve::Found;
use super::tree::{self, Directory, Node, Sha256};
use super::{ContentHashError, Result, Survey};

impl Survey<'_> {
    /// The digest of `path`: of a directory the recursive one.
    pub(super) fn path(&mut self, path: &[u8], follow_last: bool) -> Result<Sha256> {
        let asked = lexical::absolute(path);
        let missing = || ContentHashError::NotFound(String::from_utf8_lossy(&asked).into_owned());
        let (real, found) = self.resolve(&asked, follow_last)?;
        match found.ok_or_else(missing)? {
            Found::Directory => self.directory(&real)?.ok_or_else(missing),
            Found::File | Found::Symlink { .. } => self.leaf(&real)?.ok_or_else(missing),
        }
    }

    fn directory(&mut self, path: &[u8]) -> Result<Option<Sha256>> {
        let known =
            |survey: &Self| tree::directory(survey.tree, path).and_then(|directory| directory.content);
        if let Some(digest) = known(self) {
            return Ok(Some(digest));
        }
        let mut wanted = Vec::new();
        self.collect(path.to_vec(), &mut wanted)?;
        self.hash(wanted)?;
        if let Some(directory) = tree::directory_mut(self.tree, path) {
            seal(directory);
        }
        Ok(known(self))
    }

    /// Lists everything below `path` and collects what has no digest yet.
    fn collect(&mut self, path: Vec<u8>, wanted: &mut Vec<Wanted>) -> Result<()> {
        let mut open = vec![path];
        while let Some(path) = open.pop() {
            self.list(&path)?;
            let Some(directory) = tree::directory(self.tree, &path) else { continue };
            let mut names = Vec::new();
            for (name, node) in directory.entries.iter().flatten() {
                match node {
                    Node::Directory(child) if child.content.is_none() => open.push(child_path(&path, name)),
                    Node::File { digest: None } | Node::Symlink { digest: None, .. } => {
                        names.push(name.clone())
                    }
                    _ => {}
                }
            }
            let header = directory.header.is_none();
            if header || !names.is_empty() {
                wanted.push(Wanted { directory: path, header, names });
            }
        }
        Ok(())
    }

    /// The digest of an entry that is no directory.
    fn leaf(&mut self, path: &[u8]) -> Result<Option<Sha256>> {
        if let Some(digest) = self.known_leaf(path) {
            return Ok(Some(digest));
        }
        let wanted = Wanted {
            directory: lexical::parent(path),
            header: false,
            names: vec![lexical::base(path).into()],
        };
        self.hash(vec![wanted])?;
        Ok(self.known_leaf(path))
    }

    pub(super) fn known_leaf(&self, path: &[u8]) -> Option<Sha256> {
        match tree::directory(self.tree, &lexical::parent(path))?
            .entries
            .as_ref()?
            .get(lexical::base(path))?
        {
            Node::File { digest } | Node::Symlink { digest, .. } => *digest,
            Node::Directory(_) => None,
        }
    }
}

pub(super) fn child_path(path: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if path == b"/" { b"" } else { b"/" };
    [path, slash, name].concat()
}

/// Computes the content digest of a directory whose entries all have theirs; deepest first.
fn seal(directory: &mut Directory) -> Option<Sha256> {
    if let Some(digest) = directory.content {
        return Some(digest);
    }
    for node in directory.entries.iter_mut().flat_map(|entries| entries.values_mut()) {
        if let Node::Directory(child) = node
            && child.content.is_none()
        {
            seal(Arc::make_mut(child));
        }
    }
    let mut hasher = sha2::Sha256::new();
    hasher.update(b"\0");
    hasher.update(directory.header?.text());
    for (name, node) in directory.entries.as_ref()? {
        add(&mut hasher, &[b"\0".as_slice(), name].concat(), node, digest_of(node)?);
    }
    directory.content = Some(Sha256(hasher.finalize().into()));
    directory.content
}

/// One child. Entries of a child directory whose names begin with the byte 0xFF are hashed a second
/// time: the reference looks for the next child beyond the key `<child>/\xff`.
fn add(hasher: &mut sha2::Sha256, key: &[u8], node: &Node, digest: Sha256) {
    hasher.update(key);
    hasher.update(digest.text());
    let Node::Directory(directory) = node else { return };
    let Some(entries) = &directory.entries else { return };
    for (name, node) in
        entries.range::<[u8], _>((std::ops::Bound::Included([0xff].as_slice()), std::ops::Bound::Unbounded))
    {
        if let Some(digest) = digest_of(node) {
            add(hasher, &[key, b"\0", name].concat(), node, digest);
        }
    }
}

fn digest_of(node: &Node) -> Option<Sha256> {
    match node {
        Node::Directory(directory) => directory.content,
        Node::File { digest } | Node::Symlink { digest, .. } => *digest,
    }
}
