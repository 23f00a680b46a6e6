//! The digest of a selection: entries below a path that match a wildcard or lists of patterns.
//!
//! Entries are visited in the order of their keys (parents before children, names by bytes), and
//! match by the path as it was asked for, not by where links lead. A directory counts with its header
//! only, and also when it did not match but something below it did.

use sha2::Digest as _;
use slipway_model::lexical;
use slipway_model::pattern::{ParentMatch, PatternError, PatternMatcher, glob};

use super::hashing::Wanted;
use super::recursive::child_path;
use super::resolve::Found;
use super::tree::{self, Node, Sha256};
use super::{ContentHashError, Result, Selector, Survey};

/// An entry that counts.
pub(super) struct Selected {
    /// As asked for.
    pub(super) path: Vec<u8>,
    /// Where it is.
    pub(super) real: Vec<u8>,
    kind: Kind,
    /// Replace a symlink by what it leads to.
    pub(super) follow: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Symlink,
    File,
}

impl Survey<'_> {
    pub(super) fn filtered(&mut self, selector: &Selector) -> Result<Sha256> {
        let (prefix, selected, digests) = self.selection(selector)?;
        Ok(match (selected.as_slice(), digests.as_slice()) {
            ([], _) => Sha256::of(b""),
            ([only], [digest]) if lexical::base(selector.path.as_bytes()) == lexical::base(&only.path) => {
                *digest
            }
            _ => list_digest(&prefix, &selected, &digests),
        })
    }

    /// What `selector` selects, in order, each with its digest; before them the part of the paths that does
    /// not count.
    pub(super) fn selection(&mut self, selector: &Selector) -> Result<(Vec<u8>, Vec<Selected>, Vec<Sha256>)> {
        let mut walk = Walk::new(selector)?;
        let prefix = self.select(&mut walk)?;
        check_required(selector, &walk.selected)?;
        let selected = walk.selected;
        self.hash_selected(&selected)?;
        let digests = selected.iter().map(|entry| self.digest_of_selected(entry)).collect::<Result<_>>()?;
        Ok((prefix, selected, digests))
    }

    /// Fills `walk.selected`; returns the part of the paths that does not count.
    fn select(&mut self, walk: &mut Walk<'_>) -> Result<Vec<u8>> {
        let (prefix, follow_last) = if walk.selector.wildcard {
            match glob::split(&walk.path) {
                (before, _) if before.is_empty() || before == b"/" => (Vec::new(), false),
                (before, after) => (before, !after.is_empty()),
            }
        } else {
            (walk.path.clone(), false)
        };
        let (real, found) = self.resolve(&prefix, follow_last)?;
        if let Some(found) = found {
            let above = Above { path: None, matches: Matches::default() };
            self.visit(walk, prefix.clone(), real, kind_of(&found), &above)?;
        }
        Ok(prefix)
    }

    /// Visits an entry and what is below it.
    fn visit(
        &mut self,
        walk: &mut Walk<'_>,
        path: Vec<u8>,
        real: Vec<u8>,
        kind: Kind,
        above: &Above<'_>,
    ) -> Result<()> {
        let Some(candidate) = walk.candidate(&path)? else {
            // Not matched by the wildcard, and no parent of it was: children are asked themselves.
            return self.visit_children(walk, &path, &real, kind, above);
        };
        let (included, matches) = walk.matches(&candidate, &above.matches)?;
        let index = walk.selected.len();
        let follow = walk.selector.follow_links && above.path.is_none();
        if included && !(kind == Kind::Directory && walk.ends_in_slash && path == walk.path) {
            walk.take_parents(above);
            walk.selected.push(Selected { path: path.clone(), real: real.clone(), kind, follow });
        }
        if kind != Kind::Directory {
            return Ok(());
        }
        if walk.ends_in_slash && path == walk.path {
            // The directory itself was not asked for, so its children do not know it as a parent.
            return self.visit_children(walk, &path, &real, kind, above);
        }
        if walk.nothing_below(&matches) {
            return Ok(());
        }
        let taken = std::cell::Cell::new(walk.selected.len() > index);
        let here = Parent { path: &path, real: &real, taken, follow, above: above.path };
        self.visit_children(walk, &path, &real, kind, &Above { path: Some(&here), matches })
    }

    fn visit_children(
        &mut self,
        walk: &mut Walk<'_>,
        path: &[u8],
        real: &[u8],
        kind: Kind,
        above: &Above<'_>,
    ) -> Result<()> {
        if kind != Kind::Directory {
            return Ok(());
        }
        self.list(real)?;
        let Some(directory) = tree::directory(self.tree, real) else { return Ok(()) };
        let children: Vec<(Box<[u8]>, Kind)> = directory
            .entries
            .iter()
            .flatten()
            .map(|(name, node)| (name.clone(), kind_of_node(node)))
            .collect();
        for (name, kind) in children {
            let child = [path, b"/", &name].concat();
            self.visit(walk, child, child_path(real, &name), kind, above)?;
        }
        Ok(())
    }

    fn hash_selected(&mut self, selected: &[Selected]) -> Result<()> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut want = |directory: &[u8], name: Option<&[u8]>| {
            let known = wanted.last().is_some_and(|last| last.directory == directory);
            if !known {
                wanted.push(Wanted { directory: directory.to_vec(), header: false, names: Vec::new() });
            }
            if let Some(last) = wanted.last_mut() {
                last.header |= name.is_none();
                last.names.extend(name.map(Into::into));
            }
        };
        for entry in selected {
            if entry.kind == Kind::Directory {
                let known =
                    tree::directory(self.tree, &entry.real).is_some_and(|known| known.header.is_some());
                if !known {
                    want(&entry.real, None);
                }
            } else if !(entry.kind == Kind::Symlink && entry.follow) && self.known_leaf(&entry.real).is_none()
            {
                want(&lexical::parent(&entry.real), Some(lexical::base(&entry.real)));
            }
        }
        self.hash(wanted)
    }

    fn digest_of_selected(&mut self, entry: &Selected) -> Result<Sha256> {
        let digest = match entry.kind {
            Kind::Symlink if entry.follow => Some(self.path(&entry.path, true)?),
            Kind::Directory => tree::directory(self.tree, &entry.real).and_then(|directory| directory.header),
            Kind::Symlink | Kind::File => self.known_leaf(&entry.real),
        };
        digest.ok_or_else(|| ContentHashError::NotFound(String::from_utf8_lossy(&entry.path).into_owned()))
    }
}

/// The state of a selection.
struct Walk<'a> {
    selector: &'a Selector,
    /// Absolute and clean; empty for the root.
    path: Vec<u8>,
    ends_in_slash: bool,
    include: Option<PatternMatcher>,
    exclude: Option<PatternMatcher>,
    /// What the wildcard matched last: below it, everything belongs to it.
    matched: Vec<u8>,
    selected: Vec<Selected>,
}

/// What the lists of patterns remember of a directory.
#[derive(Clone, Default)]
struct Matches {
    include: ParentMatch,
    exclude: ParentMatch,
    excluded: bool,
}

/// The directories above an entry, up to where the selection began.
struct Above<'a> {
    path: Option<&'a Parent<'a>>,
    matches: Matches,
}

struct Parent<'a> {
    path: &'a [u8],
    real: &'a [u8],
    taken: std::cell::Cell<bool>,
    follow: bool,
    above: Option<&'a Parent<'a>>,
}

impl<'a> Walk<'a> {
    fn new(selector: &'a Selector) -> Result<Self> {
        let path = lexical::absolute(selector.path.as_bytes());
        Ok(Self {
            path: if path == b"/" { Vec::new() } else { path },
            ends_in_slash: selector.path.ends_with('/'),
            include: matcher("include", &selector.include)?,
            exclude: matcher("exclude", &selector.exclude)?,
            matched: Vec::new(),
            selected: Vec::new(),
            selector,
        })
    }

    /// What the patterns are asked about: the path below the one asked for, or below what the
    /// wildcard matched. `None` if the wildcard does not match.
    fn candidate(&mut self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        if !self.selector.wildcard {
            return Ok(Some(below(path, &self.path)));
        }
        if !self.path.is_empty() && (self.matched.is_empty() || !is_below(path, &self.matched)) {
            let matched = glob::matches(&self.path, path).map_err(|source| self.pattern_error(source))?;
            if !matched {
                return Ok(None);
            }
            self.matched = path.to_vec();
        }
        Ok(Some(below(path, &self.matched)))
    }

    fn matches(&self, candidate: &[u8], above: &Matches) -> Result<(bool, Matches)> {
        let mut matches = Matches::default();
        if let Some(include) = &self.include {
            let (included, memory) = include
                .matches_below(candidate, &above.include)
                .map_err(|source| self.pattern_error(source))?;
            matches.include = memory;
            if !included {
                return Ok((false, matches));
            }
        }
        if let Some(exclude) = &self.exclude {
            let (excluded, memory) = exclude
                .matches_below(candidate, &above.exclude)
                .map_err(|source| self.pattern_error(source))?;
            matches.exclude = memory;
            matches.excluded = excluded;
        }
        Ok((!matches.excluded, matches))
    }

    /// Whether an excluded directory need not be looked into: nothing can bring its entries back.
    fn nothing_below(&self, matches: &Matches) -> bool {
        matches.excluded && self.exclude.as_ref().is_some_and(|exclude| !exclude.has_exclusions())
    }

    /// Directories above a selected entry count too, from the top.
    fn take_parents(&mut self, above: &Above<'_>) {
        let mut missing = Vec::new();
        let mut parent = above.path;
        while let Some(directory) = parent {
            if !directory.taken.replace(true) {
                missing.push(directory);
            }
            parent = directory.above;
        }
        self.selected.extend(missing.into_iter().rev().map(|directory| Selected {
            path: directory.path.to_vec(),
            real: directory.real.to_vec(),
            kind: Kind::Directory,
            follow: directory.follow,
        }));
    }

    fn pattern_error(&self, source: PatternError) -> ContentHashError {
        ContentHashError::Pattern { list: "", patterns: vec![self.selector.path.clone()], source }
    }
}

fn matcher(list: &'static str, patterns: &[String]) -> Result<Option<PatternMatcher>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let patterns_error = |source| ContentHashError::Pattern { list, patterns: patterns.to_vec(), source };
    PatternMatcher::new(patterns).map(Some).map_err(patterns_error)
}

fn check_required(selector: &Selector, selected: &[Selected]) -> Result<()> {
    let missing = selector
        .required
        .iter()
        .find(|required| !selected.iter().any(|entry| entry.path.starts_with(required.as_bytes())));
    missing.map_or(Ok(()), |path| Err(ContentHashError::NotFound(path.clone())))
}

fn list_digest(prefix: &[u8], selected: &[Selected], digests: &[Sha256]) -> Sha256 {
    let mut hasher = sha2::Sha256::new();
    for (entry, digest) in selected.iter().zip(digests) {
        let path = entry.path.strip_prefix(prefix).unwrap_or(&entry.path);
        let key: Vec<u8> = path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect();
        hasher.update(if key.is_empty() { b"\0" } else { key.as_slice() });
        hasher.update(digest.text());
    }
    Sha256(hasher.finalize().into())
}

fn is_below(path: &[u8], parent: &[u8]) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with(b"/"))
}

/// `path` relative to `parent`, empty for itself; unchanged if it is not below.
fn below(path: &[u8], parent: &[u8]) -> Vec<u8> {
    let relative = path.strip_prefix(parent).and_then(|rest| match rest {
        b"" => Some(rest),
        rest => rest.strip_prefix(b"/"),
    });
    relative.unwrap_or(path).to_vec()
}

fn kind_of(found: &Found) -> Kind {
    match found {
        Found::Directory => Kind::Directory,
        Found::Symlink { .. } => Kind::Symlink,
        Found::File => Kind::File,
    }
}

fn kind_of_node(node: &Node) -> Kind {
    match node {
        Node::Directory(_) => Kind::Directory,
        Node::Symlink { .. } => Kind::Symlink,
        Node::File { .. } => Kind::File,
    }
}
