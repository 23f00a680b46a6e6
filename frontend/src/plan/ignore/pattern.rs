//! One pattern, in the cheapest form that can decide it.
//!
//! | written | kind |
//! |---|---|
//! | `a/b` | the path itself |
//! | `a/**` | all paths that start with `a/` |
//! | `**/b` | all paths that end in `/b`, and `b` |
//! | else | an expression |
//!
//! `*` and `?` stay within a folder, `**` is any number of folders, `[a-z]` a class.

use super::IgnoreError;
use super::expression::Expression;

pub(super) struct Pattern {
    /// Starts with `!`: brings files back.
    pub(super) exception: bool,
    /// How many parts its path has.
    pub(super) parts: usize,
    cleaned: String,
    kind: Kind,
}

enum Kind {
    Exact,
    Prefix,
    Suffix,
    Expression(Expression),
    /// Found out only when a path is matched, as in the reference.
    Malformed,
}

impl Pattern {
    /// `cleaned` is without `!`.
    pub(super) fn new(cleaned: &str, exception: bool) -> Self {
        let (text, kind) = translate(cleaned);
        let kind = match kind {
            None => Expression::parse(&text).map_or(Kind::Malformed, Kind::Expression),
            Some(kind) => kind,
        };
        Self { exception, parts: cleaned.split('/').count(), cleaned: cleaned.to_owned(), kind }
    }

    /// Without `!`.
    pub(super) fn text(&self) -> &str {
        &self.cleaned
    }

    pub(super) fn matches(&self, path: &str) -> Result<bool, IgnoreError> {
        match &self.kind {
            Kind::Exact => Ok(path == self.cleaned),
            Kind::Prefix => Ok(path.starts_with(self.cleaned.trim_end_matches("**"))),
            Kind::Suffix => {
                let suffix = self.cleaned.strip_prefix("**").unwrap_or_default();
                Ok(path.ends_with(suffix) || suffix.strip_prefix('/').is_some_and(|name| name == path))
            }
            Kind::Expression(expression) => Ok(expression.matches(path)),
            Kind::Malformed => Err(IgnoreError::Syntax),
        }
    }
}

/// The regular expression that the reference would build, and the kind if none is needed.
///
/// Brackets go through as they are, and what is inside them is translated like the rest: `[a*]` does
/// not mean what it seems to. Keeping the detour keeps the answers equal.
fn translate(pattern: &str) -> (String, Option<Kind>) {
    let mut text = String::from("^");
    let mut kind = Some(Kind::Exact);
    let mut characters = pattern.chars().peekable();
    let mut first = true;
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.next_if_eq(&'*').is_some() => {
                characters.next_if_eq(&'/');
                if characters.peek().is_some() {
                    text.push_str("(.*/)?");
                    kind = None;
                } else if matches!(kind, Some(Kind::Exact)) {
                    kind = Some(Kind::Prefix);
                } else {
                    text.push_str(".*");
                    kind = None;
                }
                if first {
                    kind = Some(Kind::Suffix);
                }
            }
            '*' | '?' => {
                text.push_str(if character == '*' { "[^/]*" } else { "[^/]" });
                kind = None;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => text.extend(['\\', character]),
            '\\' => {
                text.push('\\');
                if let Some(escaped) = characters.next() {
                    text.push(escaped);
                    kind = None;
                }
            }
            '[' | ']' => {
                text.push(character);
                kind = None;
            }
            other => text.push(other),
        }
        first = false;
    }
    text.push('$');
    (text, kind)
}
