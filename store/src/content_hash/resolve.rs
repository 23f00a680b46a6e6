//! Finding a path in the mirrored tree, through links, without leaving it.

use slipway_model::lexical;

use super::tree::{self, Node};
use super::{ContentHashError, Result, Survey};

const MOST_LINKS: usize = 255;

/// What stands at a path.
pub(super) enum Found {
    Directory,
    Symlink { target: Vec<u8> },
    File,
}

impl Survey<'_> {
    /// The path without links that `path` leads to, and what is there, if anything. The last
    /// element is followed only if asked for.
    pub(super) fn resolve(&mut self, path: &[u8], follow_last: bool) -> Result<(Vec<u8>, Option<Found>)> {
        let mut current = b"/".to_vec();
        let mut found = Some(Found::Directory);
        let mut rest = lexical::absolute(path).split_off(1);
        let mut links = 0;
        while !rest.is_empty() {
            let cut = rest.iter().position(|byte| *byte == b'/');
            let after = cut.map_or(Vec::new(), |cut| rest.split_off(cut).split_off(1));
            let element = std::mem::replace(&mut rest, after);
            // Going by text is right: nothing before is a link.
            let next = lexical::absolute(&[current.as_slice(), b"/", &element].concat());
            found = self.at(&next)?;
            match &found {
                Some(Found::Symlink { target }) if follow_last || !rest.is_empty() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(ContentHashError::TooManyLinks);
                    }
                    if target.starts_with(b"/") {
                        current = b"/".to_vec();
                    }
                    rest = [target, b"/".as_slice(), &rest].concat();
                }
                _ => current = next,
            }
        }
        Ok((current, found))
    }

    /// What stands at a path whose parents are no links; looks into them as needed.
    fn at(&mut self, path: &[u8]) -> Result<Option<Found>> {
        if path == b"/" {
            return Ok(Some(Found::Directory));
        }
        let parent = lexical::parent(path);
        let mut above = Vec::new();
        self.list(&above)?;
        for element in tree::elements(&parent) {
            above.push(b'/');
            above.extend_from_slice(element);
            self.list(&above)?;
        }
        let entries = tree::directory(self.tree, &parent).and_then(|directory| directory.entries.as_ref());
        Ok(entries.and_then(|entries| entries.get(lexical::base(path))).map(|node| match node {
            Node::Directory(_) => Found::Directory,
            Node::Symlink { target, .. } => Found::Symlink { target: target.to_vec() },
            Node::File { .. } => Found::File,
        }))
    }
}
