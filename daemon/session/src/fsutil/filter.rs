//! Which files of a tree are part of a transfer.

use rustix::fd::BorrowedFd;
use slipway_model::pattern::{ParentMatch, PatternMatcher};

use super::follow;
use crate::{Error, Result};

/// Include and exclude patterns, in the syntax of `.dockerignore`.
#[derive(Default)]
pub struct Filter {
    include: Option<Side>,
    exclude: Option<Side>,
}

struct Side {
    matcher: PatternMatcher,
    /// What may change the answer below a directory that is not taken, if that can be said: then whole directories
    /// are left out unseen.
    leads: Option<Vec<String>>,
}

/// What to do with one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Take,
    /// Leave it, but look inside: something below may be taken.
    Descend,
    Leave,
}

/// What was found for a directory, for the paths in it.
#[derive(Clone, Debug, Default)]
pub struct Found {
    include: ParentMatch,
    exclude: ParentMatch,
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
        Ok(Self { include: Side::new(&include, false)?, exclude: Side::new(exclude, true)? })
    }

    /// `above` is what was found for the directory that holds `path`; nothing for those at the top.
    pub fn judge(&self, path: &str, above: &Found) -> Result<(Verdict, Found)> {
        let (mut verdict, mut found) = (Verdict::Take, Found::default());
        if let Some(include) = &self.include {
            let matched;
            (matched, found.include) = include.ask(path, &above.include)?;
            if !matched {
                verdict = include.where_not_taken(path);
            }
        }
        if let Some(exclude) = &self.exclude {
            let matched;
            (matched, found.exclude) = exclude.ask(path, &above.exclude)?;
            if matched && verdict != Verdict::Leave {
                verdict = exclude.where_not_taken(path);
            }
        }
        Ok((verdict, found))
    }
}

impl Side {
    /// `None` without patterns. Below what a list excludes only its exceptions matter.
    fn new(patterns: &[String], excludes: bool) -> Result<Option<Self>> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let matcher = PatternMatcher::new(patterns).map_err(|error| Error::Pattern(error.to_string()))?;
        Ok(Some(Self { leads: matcher.plain_paths(excludes), matcher }))
    }

    fn ask(&self, path: &str, above: &ParentMatch) -> Result<(bool, ParentMatch)> {
        self.matcher.matches_below(path, above).map_err(|error| Error::Pattern(error.to_string()))
    }

    fn where_not_taken(&self, directory: &str) -> Verdict {
        let Some(leads) = &self.leads else { return Verdict::Descend };
        let leads_in = |lead: &String| {
            lead.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if leads.iter().any(leads_in) { Verdict::Descend } else { Verdict::Leave }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn verdict(include: &[&str], exclude: &[&str], path: &str) -> Verdict {
        let root = std::fs::File::open("/").unwrap();
        let owned = |patterns: &[&str]| patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let filter = Filter::new(root.as_fd(), &owned(include), &owned(exclude), &[]).unwrap();
        let mut judged = (Verdict::Take, Found::default());
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            judged = filter.judge(&path[..end], &judged.1).unwrap();
        }
        judged.0
    }

    #[test]
    fn directories_in_which_nothing_can_be_taken_are_not_looked_into() {
        use Verdict::*;
        assert_eq!(verdict(&[], &["deps"], "deps"), Leave);
        assert_eq!(verdict(&[], &["deps", "!keep.log"], "deps"), Leave);
        assert_eq!(verdict(&[], &["deps", "!deps/a/**"], "deps"), Descend);
        assert_eq!(verdict(&[], &["deps", "!deps/a/**"], "deps/a"), Descend);
        assert_eq!(verdict(&[], &["deps", "!deps/a/**"], "deps/a/b"), Take);
        assert_eq!(verdict(&[], &["deps", "!deps/a/**"], "deps/b"), Leave);
        assert_eq!(verdict(&[], &["deps", "!**/keep"], "deps"), Descend);
        assert_eq!(verdict(&["src/*"], &[], "src"), Descend);
        assert_eq!(verdict(&["src/*"], &[], "doc"), Leave);
        assert_eq!(verdict(&["**/a"], &[], "doc"), Descend);
        assert_eq!(verdict(&["src"], &["src/x"], "src/x"), Leave);
        assert_eq!(verdict(&["src"], &["src/x"], "src/y/z"), Take);
    }
}
