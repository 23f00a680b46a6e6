//! Words as a shell would read them: quotes, escapes, `$name` and `${name…}`.
//!
//! [`Lexer`] reads a text once and gives both its expansion and the words it splits into. The forms:
//!
//! | form | result |
//! |---|---|
//! | `$n` `${n}` | the value, or nothing |
//! | `${n-w}` `${n:-w}` | the value, or `w` if unset (with `:` also if empty) |
//! | `${n+w}` `${n:+w}` | `w` if set (with `:` and not empty), else nothing |
//! | `${n?m}` `${n:?m}` | the value, or an error that says `m` |
//! | `${n#p}` `${n##p}` | the value without the shortest, longest prefix that matches `p` |
//! | `${n%p}` `${n%%p}` | the same for suffixes |
//! | `${n/p/r}` `${n//p/r}` | the value with the first, with every longest match of `p` replaced |
//!
//! Absent on purpose: command substitution, arithmetic, arrays, bracket expressions in patterns.

use std::collections::BTreeSet;

mod expansion;
mod lexer;
mod pattern;
mod scanner;
mod substitution;
mod template;
mod variables;
mod words;

pub use expansion::Expansion;
pub use lexer::Lexer;
pub use variables::{EnvironmentList, NoVariables, Variables};

/// The deepest `${a:-${b:-…}}` that is followed.
pub const MAX_DEPTH: usize = 200;

/// The longest text an expansion may produce, in bytes: variables can double each other.
pub const MAX_LENGTH: usize = 16 << 20;

/// A text that is not well-formed, or asks for a variable that must be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {}: {problem}", slipway_model::quote::quoted(.text))]
pub struct Error {
    pub text: String,
    pub problem: Problem,
    /// Names of the variables asked for before it, that are not set.
    pub unmatched: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("unexpected end of statement while looking for matching {0}")]
    Unclosed(char),
    #[error("unexpected end of statement while looking for matching single-quote")]
    SingleQuote,
    #[error("unexpected end of statement while looking for matching double-quote")]
    DoubleQuote,
    #[error("syntax error: missing '}}'")]
    MissingBrace,
    #[error("syntax error: missing '/' in ${{}}")]
    MissingSlash,
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// `${name?message}`.
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")]
    Pattern { pattern: String, escaped: char },
    #[error("substitutions are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("the result is longer than {MAX_LENGTH} bytes")]
    TooLong,
}
