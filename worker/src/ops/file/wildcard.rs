//! Wildcard paths in a tree.

use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use slipway_model::pattern::glob;

use super::error::DEEPEST;
use super::tree::{Tree, directory_at, is_directory, kind, names, stat_at};
use super::{FileError, Result};

/// The paths that match `pattern`, in order; the path itself if it has no wildcard, whether or not
/// it exists. A matching directory counts as one path. Links before the first wildcard are followed,
/// the last one of them only with `follow_last`.
pub(super) fn resolve(tree: &Tree<'_>, pattern: &[u8], follow_last: bool) -> Result<Vec<Vec<u8>>> {
    let (plain, wild) = glob::split(&slipway_model::lexical::absolute(pattern));
    if wild.is_empty() {
        return Ok(vec![plain]);
    }
    let base = tree.real_path(&plain, follow_last)?;
    let stat = tree.stat(&base)?.ok_or_else(|| FileError::io("lstat", &base)(rustix::io::Errno::NOENT))?;
    if !is_directory(&stat) {
        return Ok(Vec::new());
    }
    let directory = tree.directory(&base).map_err(FileError::io("open", &base))?;
    let base = if base == b"/" { Vec::new() } else { base };
    let mut search = Search { wild: &wild, base, found: Vec::new() };
    search.directory(&directory, b"", 0)?;
    Ok(search.found)
}

struct Search<'a> {
    wild: &'a [u8],
    base: Vec<u8>,
    found: Vec<Vec<u8>>,
}

impl Search<'_> {
    fn directory(&mut self, directory: &OwnedFd, relative: &[u8], depth: usize) -> Result<()> {
        for name in names(directory).map_err(FileError::io("open", relative))? {
            let slash: &[u8] = if relative.is_empty() { b"" } else { b"/" };
            let path = [relative, slash, &name].concat();
            // A malformed pattern matches nothing, in the reference as here.
            if glob::matches(self.wild, &path).unwrap_or(false) {
                self.found.push([self.base.as_slice(), b"/", &path].concat());
                continue;
            }
            if !self.may_match_below(&path) {
                continue;
            }
            let stat = stat_at(directory, &name).map_err(FileError::io("lstat", &path))?;
            if stat.is_some_and(|stat| kind(&stat) == FileType::Directory) {
                if depth > DEEPEST {
                    return Err(FileError::TooDeep(String::from_utf8_lossy(&path).into_owned()));
                }
                let below = directory_at(directory, &name).map_err(FileError::io("open", &path))?;
                self.directory(&below, &path, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Only classes match slashes, so without one the pattern's elements are those of the path.
    fn may_match_below(&self, path: &[u8]) -> bool {
        if self.wild.contains(&b'[') || self.wild.contains(&b'\\') {
            return true;
        }
        let elements = path.split(|byte| *byte == b'/').count();
        let start: Vec<&[u8]> = self.wild.split(|byte| *byte == b'/').take(elements).collect();
        let longer = self.wild.split(|byte| *byte == b'/').count() > elements;
        longer && glob::matches(&start.join(&b'/'), path).unwrap_or(false)
    }
}
