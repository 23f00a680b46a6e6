//! Lists of path patterns: what `.dockerignore`, include and exclude lists mean.
//!
//! The rules are those of `moby/patternmatcher`, quirks included, because the same lists are
//! evaluated by clients, by content digests (hence cache keys) and by copies, and all must agree:
//!
//! - a pattern matches a path, or any parent of it; a later `!pattern` takes back what an earlier
//!   one matched;
//! - `*` and `?` stop at `/`; `**` does not; `**/` may stand for nothing;
//! - a pattern without meta-characters is compared as text, `x/**` and `**/x` as prefix and suffix;
//!   everything else becomes a regular [`expression`], and whatever slips through the translation
//!   (a `^`, a class with a `*` in it) keeps its meaning there.
//!
//! [`glob`] is the smaller language of a single wildcard path (`COPY *.go /src`).

mod expression;
pub mod glob;

use expression::Expression;

use crate::lexical;

/// Why a list of patterns, or one of them, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Found when the list is read, or when a path is first compared with the pattern.
    #[error("syntax error in pattern")]
    Syntax(String),
    #[error("illegal exclusion pattern: \"!\"")]
    LoneExclamationMark,
}

/// A list of patterns, ready to be asked about paths.
#[derive(Debug, Clone)]
pub struct PatternMatcher {
    patterns: Vec<Pattern>,
    exclusions: bool,
}

/// What a directory's own match leaves for its children: which patterns matched it.
#[derive(Debug, Clone, Default)]
pub struct ParentMatch(Vec<bool>);

#[derive(Debug, Clone)]
struct Pattern {
    /// Cleaned, without the `!`.
    text: Vec<u8>,
    exclusion: bool,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Expression(Expression),
    /// Passed the check at reading but is no expression: an error for whoever asks.
    Broken,
}

impl PatternMatcher {
    /// Blank patterns are skipped; the rest is trimmed and cleaned as a path.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, PatternError> {
        let mut list = Self { patterns: Vec::new(), exclusions: false };
        for text in patterns {
            let text = text.as_ref().trim();
            if !text.is_empty() {
                list.patterns.push(Pattern::new(text)?);
            }
        }
        list.exclusions = list.patterns.iter().any(|pattern| pattern.exclusion);
        Ok(list)
    }

    /// Whether a pattern begins with `!`. Without one, nothing below an excluded directory can come back.
    pub fn has_exclusions(&self) -> bool {
        self.exclusions
    }

    /// The paths that its patterns with a `!` name (or those without), a `/**` or `/*` at their ends aside. `None` if
    /// one has a wildcard elsewhere, so that it may stand for any path.
    pub fn plain_paths(&self, exclusions: bool) -> Option<Vec<String>> {
        let of_kind = self.patterns.iter().filter(|pattern| pattern.exclusion == exclusions);
        let plain = |pattern: &Pattern| {
            let text = String::from_utf8_lossy(&pattern.text);
            let text = text.strip_suffix("/**").unwrap_or(&text);
            let text = text.strip_suffix("/*").unwrap_or(text);
            (!text.contains(['*', '[', ']', '?', '^', '\\'])).then(|| text.to_owned())
        };
        of_kind.map(plain).collect()
    }

    /// Whether a pattern takes everything at the top: `*`, `**` or `**/*`.
    pub fn ignores_root(&self) -> bool {
        let everything: [&[u8]; 3] = [b"*", b"**", b"**/*"];
        self.patterns
            .iter()
            .any(|pattern| !pattern.exclusion && everything.contains(&pattern.text.as_slice()))
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether `path` (slash-separated, relative) or a parent of it is matched and not taken back.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> Result<bool, PatternError> {
        self.matches_below(path, &ParentMatch::default()).map(|(matched, _)| matched)
    }

    /// [`matches`](Self::matches) during a walk: `parent` is what the directory that holds `path`
    /// got back, so that only `path` itself is compared.
    pub fn matches_below(
        &self,
        path: impl AsRef<[u8]>,
        parent: &ParentMatch,
    ) -> Result<(bool, ParentMatch), PatternError> {
        let path = path.as_ref();
        let mut matched = false;
        let mut memory = vec![false; self.patterns.len()];
        for (index, (pattern, remembered)) in self.patterns.iter().zip(&mut memory).enumerate() {
            let mut hit = parent.0.get(index).copied().unwrap_or(false);
            if !hit {
                // An inclusion after a match, or an exclusion before one, cannot change anything.
                if pattern.exclusion != matched {
                    continue;
                }
                hit = pattern.matches(path)?;
                if !hit && parent.0.is_empty() {
                    hit = parents(path).any(|parent| pattern.matches(parent).unwrap_or(false));
                }
            }
            *remembered = hit;
            if hit {
                matched = !pattern.exclusion;
            }
        }
        Ok((matched, ParentMatch(memory)))
    }

    /// The older question some clients still ask: as [`matches`](Self::matches), but of the parents
    /// only the one as deep as the pattern is compared.
    pub fn matches_single_parent(&self, path: impl AsRef<[u8]>) -> Result<bool, PatternError> {
        let path = path.as_ref();
        let mut matched = false;
        for pattern in &self.patterns {
            if pattern.exclusion != matched {
                continue;
            }
            let depth = pattern.text.split(|byte| *byte == b'/').count();
            let hit = pattern.matches(path)?
                || parents(path)
                    .nth(depth - 1)
                    .is_some_and(|parent| pattern.matches(parent).unwrap_or(false));
            if hit {
                matched = !pattern.exclusion;
            }
        }
        Ok(matched)
    }
}

/// `a`, `a/b` of `a/b/c`, after cleaning.
fn parents(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let parent = lexical::parent(path);
    let parent = if parent == b"." { Vec::new() } else { parent };
    let mut ends: Vec<usize> =
        parent.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect();
    if !parent.is_empty() {
        ends.push(parent.len());
    }
    ends.into_iter().map(move |end| parent.get(..end).unwrap_or_default().to_vec())
}

impl Pattern {
    fn new(text: &str) -> Result<Self, PatternError> {
        let cleaned = lexical::clean(text.as_bytes());
        let (exclusion, cleaned) = match cleaned.strip_prefix(b"!") {
            Some(b"") => return Err(PatternError::LoneExclamationMark),
            Some(rest) => (true, rest.to_vec()),
            None => (false, cleaned),
        };
        glob::validate(&cleaned)?;
        let text = String::from_utf8_lossy(&cleaned).into_owned();
        Ok(Self { kind: Kind::of(&text), exclusion, text: cleaned })
    }

    fn matches(&self, path: impl AsRef<[u8]>) -> Result<bool, PatternError> {
        let (path, text) = (path.as_ref(), self.text.as_slice());
        Ok(match &self.kind {
            Kind::Exact => path == text,
            Kind::Prefix => path.starts_with(text.strip_suffix(b"**").unwrap_or(text)),
            Kind::Suffix => {
                let suffix = text.strip_prefix(b"**").unwrap_or(text);
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|name| path == name)
            }
            Kind::Expression(expression) => expression.matches(path),
            Kind::Broken => return Err(PatternError::Syntax(String::from_utf8_lossy(text).into_owned())),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Exact,
    Prefix,
    Suffix,
    Expression,
}

impl Kind {
    /// The cheapest comparison for a cleaned pattern; the translation only matters for the last.
    fn of(text: &str) -> Self {
        let (shape, expression) = translate(text);
        match shape {
            Shape::Exact => Self::Exact,
            Shape::Prefix => Self::Prefix,
            Shape::Suffix => Self::Suffix,
            Shape::Expression => Expression::parse(&expression).map_or(Self::Broken, Self::Expression),
        }
    }
}

/// A pattern as a regular expression, without the anchors.
fn translate(text: &str) -> (Shape, String) {
    let mut shape = Shape::Exact;
    let mut expression = String::with_capacity(text.len() * 2);
    // A byte order mark at the beginning is skipped.
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    let mut first = true;
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                if rest.peek().is_some() {
                    expression.push_str("(.*/)?");
                    shape = Shape::Expression;
                } else if shape == Shape::Exact {
                    shape = Shape::Prefix;
                } else {
                    expression.push_str(".*");
                    shape = Shape::Expression;
                }
                if first {
                    shape = Shape::Suffix;
                }
            }
            '*' | '?' => {
                expression.push_str(if character == '*' { "[^/]*" } else { "[^/]" });
                shape = Shape::Expression;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => expression.extend(['\\', character]),
            '\\' => match rest.next() {
                Some(escaped) => {
                    expression.extend(['\\', escaped]);
                    shape = Shape::Expression;
                }
                None => expression.push('\\'),
            },
            '[' | ']' => {
                expression.push(character);
                shape = Shape::Expression;
            }
            other => expression.push(other),
        }
        first = false;
    }
    (shape, expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], path: &str) -> bool {
        PatternMatcher::new(patterns).unwrap().matches(path).unwrap()
    }

    #[test]
    fn a_parent_counts_and_an_exclusion_takes_back() {
        assert!(check(&["node_modules"], "node_modules/a/b"));
        assert!(!check(&["node_modules"], "x/node_modules"));
        assert!(check(&["**/node_modules"], "x/node_modules/y"));
        assert!(!check(&["a", "!a/b"], "a/b/c"));
        assert!(check(&["!a", "a"], "a"));
        assert!(check(&["a***b"], "axxb"));
    }

    #[test]
    fn a_walk_answers_as_a_single_question_does() {
        let list = PatternMatcher::new(["a/**/c", "b", "!b/y/*"]).unwrap();
        for path in ["a/x/c", "a/c", "b/y/z", "b/y", "b/q/r"] {
            let mut parent = ParentMatch::default();
            let mut last = false;
            for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
                (last, parent) = list.matches_below(&path[..end], &parent).unwrap();
            }
            assert_eq!(last, list.matches(path).unwrap(), "{path}");
        }
    }

    /// Copies and digests both walk, so they agree with each other, as the reference's do.
    #[test]
    fn a_walk_does_not_remember_an_exclusion_it_had_no_reason_to_ask() {
        let list = PatternMatcher::new(["a/**/c", "!a/x"]).unwrap();
        let (_, parent) = list.matches_below("a/x", &ParentMatch::default()).unwrap();
        assert!(list.matches_below("a/x/c", &parent).unwrap().0);
        assert!(!list.matches("a/x/c").unwrap());
    }

    #[test]
    fn bad_lists_are_refused() {
        assert_eq!(PatternMatcher::new(["!"]).unwrap_err(), PatternError::LoneExclamationMark);
        for bad in ["[", "a[]", "[a-", "x\\"] {
            assert!(matches!(PatternMatcher::new([bad]), Err(PatternError::Syntax(_))), "{bad}");
        }
    }
}
