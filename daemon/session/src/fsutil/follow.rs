//! Symlinks among the paths a build names: the link and what it points to must both be sent.
//!
//! A path is walked component by component inside the root. A component that is a symlink is
//! included itself, and its target (taken as inside the root) is walked in turn.

use std::collections::BTreeSet;

use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use slipway_model::pattern::glob;

use crate::{Error, Result};

/// More links than this lead in a circle.
const MOST_STEPS: usize = 10_000;

/// Include patterns for `paths` and all that their links lead to.
pub(super) fn follow_links(root: BorrowedFd<'_>, paths: &[String]) -> Result<Vec<String>> {
    let mut resolver = Resolver { root, resolved: BTreeSet::new(), steps: 0 };
    for path in paths {
        resolver.append(path)?;
    }
    let all = resolver.resolved;
    if all.contains(".") {
        return Ok(Vec::new());
    }
    // What lies below an included directory is included with it.
    let covered = |path: &String| path.match_indices('/').any(|(end, _)| all.contains(&path[..end]));
    Ok(all.iter().filter(|path| !covered(path)).cloned().collect())
}

struct Resolver<'a> {
    root: BorrowedFd<'a>,
    resolved: BTreeSet<String>,
    steps: usize,
}

impl Resolver<'_> {
    fn append(&mut self, path: &str) -> Result<()> {
        let parts = clean(path);
        if parts.is_empty() {
            self.resolved.insert(".".into());
            return Ok(());
        }
        let mut current = String::new();
        for (index, part) in parts.iter().enumerate() {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(Error::Pattern(format!("too many symbolic links below {path:?}")));
            }
            if !current.is_empty() {
                current.push('/');
            }
            current.push_str(part);
            let targets = self.links(&current)?;
            if targets.is_empty() {
                continue;
            }
            if !self.resolved.insert(current.clone()) {
                return Ok(());
            }
            let rest = parts[index + 1..].join("/");
            for target in targets {
                self.append(&format!("{target}/{rest}"))?;
            }
            return Ok(());
        }
        self.resolved.insert(current);
        Ok(())
    }

    /// Where `path` points to, if it is a link; for a wildcard, where each match points to.
    fn links(&self, path: &str) -> Result<Vec<String>> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !name.contains(['*', '?', '[', '\\']) {
            return Ok(self.link(path).into_iter().collect());
        }
        let matches = |candidate: &String| glob::matches(name.as_bytes(), candidate.as_bytes());
        let names = self.names(parent).into_iter().filter(|candidate| matches(candidate).unwrap_or(false));
        let join = |name: &String| if parent.is_empty() { name.clone() } else { format!("{parent}/{name}") };
        Ok(names.filter_map(|name| self.link(&join(&name))).collect())
    }

    fn link(&self, path: &str) -> Option<String> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
        let target = rustix::fs::readlinkat(&fd, "", Vec::new()).ok()?;
        let target = target.to_string_lossy().into_owned();
        if target.starts_with('/') {
            return Some(target);
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        Some(format!("{parent}/{target}"))
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let directory = if directory.is_empty() { "." } else { directory };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat2(self.root, directory, flags, Mode::empty(), ResolveFlags::IN_ROOT)
        else {
            return Vec::new();
        };
        let Ok(entries) = rustix::fs::Dir::read_from(fd) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        names.filter(|name| name != "." && name != "..").collect()
    }
}

/// The components of a path taken as inside the root: `..` cannot leave it.
fn clean(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}
