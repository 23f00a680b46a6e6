//! Which files of a tree are part of a transfer.

use rustix::fd::BorrowedFd;
use slipway_model::pattern::PatternMatcher;

use super::follow;
use crate::{Error, Result};

/// Include and exclude patterns, in the syntax of `.dockerignore`.
#[derive(Default)]
pub struct Filter {
    include: Option<PatternMatcher>,
    exclude: Option<PatternMatcher>,
    /// Include patterns without wildcards: whole directories can be left out unseen.
    plain_includes: Option<Vec<String>>,
}

/// What to do with one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Take,
    /// Leave it, but look inside: something below may be taken.
    Descend,
    Leave,
}

impl Filter {
    /// `follow` are paths whose symlinks are resolved in `root`; what they lead to is included.
    pub fn new(
        root: BorrowedFd<'_>,
        include: &[String],
        exclude: &[String],
        follow: &[String],
    ) -> Result<Self> {
        let mut include = include.to_vec();
        include.extend(follow::follow_links(root, follow)?);
        let matcher = |patterns: &[String]| {
            if patterns.is_empty() {
                return Ok(None);
            }
            PatternMatcher::new(patterns).map(Some).map_err(|error| Error::Pattern(error.to_string()))
        };
        let plain = |pattern: &String| !pattern.contains(['*', '[', ']', '?', '^', '\\', '!']);
        let plain_includes = (!include.is_empty() && include.iter().all(plain)).then(|| include.clone());
        Ok(Self { include: matcher(&include)?, exclude: matcher(exclude)?, plain_includes })
    }

    pub fn judge(&self, path: &str) -> Result<Verdict> {
        let matches = |matcher: &PatternMatcher| {
            matcher.matches(path).map_err(|error| Error::Pattern(error.to_string()))
        };
        if let Some(include) = &self.include
            && !matches(include)?
        {
            return Ok(if self.may_include_below(path) { Verdict::Descend } else { Verdict::Leave });
        }
        match &self.exclude {
            Some(exclude) if matches(exclude)? => {
                Ok(if exclude.has_exclusions() { Verdict::Descend } else { Verdict::Leave })
            }
            _ => Ok(Verdict::Take),
        }
    }

    fn may_include_below(&self, directory: &str) -> bool {
        let Some(plain) = &self.plain_includes else { return true };
        let below = |pattern: &String| {
            pattern.trim_start_matches('/').strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
        };
        plain.iter().any(below)
    }
}
