//! Paths against a list of patterns.

use super::pattern::Pattern;
use super::{IgnoreError, clean, syntax};

/// Patterns in order: the last one that matches a path decides. Paths are relative, with slashes.
pub struct PatternMatcher {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
}

/// Which patterns match a folder: what a walk hands from a folder to its children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentMatches(Vec<bool>);

impl PatternMatcher {
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, IgnoreError> {
        let mut matcher = Self { patterns: Vec::new(), has_exceptions: false };
        for pattern in patterns.iter().map(|pattern| pattern.as_ref().trim()).filter(|text| !text.is_empty())
        {
            let cleaned = clean(pattern);
            let (text, exception) = match cleaned.strip_prefix('!') {
                Some("") => return Err(IgnoreError::LoneExclamation),
                Some(text) => (text, true),
                None => (cleaned.as_str(), false),
            };
            if !syntax::is_valid(text) {
                return Err(IgnoreError::Syntax);
            }
            matcher.has_exceptions |= exception;
            matcher.patterns.push(Pattern::new(text, exception));
        }
        Ok(matcher)
    }

    /// With exceptions, a matching folder may hold files that do not match.
    pub fn has_exceptions(&self) -> bool {
        self.has_exceptions
    }

    /// A pattern takes everything at the top: `*`, `**` or `**/*`.
    pub fn ignores_root(&self) -> bool {
        self.patterns
            .iter()
            .any(|pattern| !pattern.exception && matches!(pattern.text(), "*" | "**" | "**/*"))
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The old reading, which looks at one parent only: the one as deep as the pattern.
    pub fn matches(&self, path: &str) -> Result<bool, IgnoreError> {
        let parents = parents(path);
        self.decide(|pattern| {
            Ok(pattern.matches(path)?
                || pattern
                    .parts
                    .checked_sub(1)
                    .and_then(|at| parents.get(at))
                    .is_some_and(|parent| pattern.matches(parent).unwrap_or_default()))
        })
    }

    /// A path matches as well if any folder it is in does.
    pub fn matches_or_parent_matches(&self, path: &str) -> Result<bool, IgnoreError> {
        let parents = parents(path);
        self.decide(|pattern| matches_with_parents(pattern, path, &parents))
    }

    /// The same answer for a walk from the top: `parent` is what the folder around `path` gave, and is
    /// `None` at the top, or where nothing is known.
    pub fn matches_using_parent(
        &self,
        path: &str,
        parent: Option<&ParentMatches>,
    ) -> Result<(bool, ParentMatches), IgnoreError> {
        let known = parent.map(|parent| parent.0.as_slice()).unwrap_or_default();
        let parents = if known.is_empty() { parents(path) } else { Vec::new() };
        let mut found = vec![false; self.patterns.len()];
        let mut matched = false;
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = known.get(index).copied().unwrap_or_default();
            if !inherited && pattern.exception != matched {
                continue;
            }
            if inherited || matches_with_parents(pattern, path, &parents)? {
                found[index] = true;
                matched = !pattern.exception;
            }
        }
        Ok((matched, ParentMatches(found)))
    }

    /// Only patterns that could change the answer are asked.
    fn decide(&self, matches: impl Fn(&Pattern) -> Result<bool, IgnoreError>) -> Result<bool, IgnoreError> {
        let mut matched = false;
        for pattern in &self.patterns {
            if pattern.exception == matched && matches(pattern)? {
                matched = !pattern.exception;
            }
        }
        Ok(matched)
    }
}

fn matches_with_parents(pattern: &Pattern, path: &str, parents: &[String]) -> Result<bool, IgnoreError> {
    Ok(pattern.matches(path)? || parents.iter().any(|parent| pattern.matches(parent).unwrap_or_default()))
}

/// The folders around a path, outermost first.
fn parents(path: &str) -> Vec<String> {
    let parent = match path.rsplit_once('/') {
        None => return Vec::new(),
        Some((parent, _)) => clean(if parent.is_empty() { "/" } else { parent }),
    };
    if parent == "." {
        return Vec::new();
    }
    let ends = parent.match_indices('/').map(|(at, _)| at).chain([parent.len()]);
    ends.map(|end| parent[..end].to_owned()).collect()
}
