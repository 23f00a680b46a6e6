//! Keys of sources: what was resolved, not how it was found.
//!
//! A source is resolved first (a tag to a manifest, a branch to a commit, a URL to a body), then
//! keyed, so that two ways to the same bytes share a key. Each file holds one kind of source: the
//! attributes that enter its key, read from the operation, and the key itself.

mod blob;
mod git;
mod http;
mod image;
mod local;

pub use blob::BlobIdentifier;
pub use git::{GitIdentifier, GitSignature, ResolvedGit};
pub use http::HttpIdentifier;
pub use image::{ImageIdentifier, RecordType, ResolveMode, config_key, manifest_key};
pub use local::LocalIdentifier;

use slipway_model::{Digest, DigestError};

use super::{CacheKey, CacheKeyError};

/// The key of a source from its own text; one that begins with `session:` lives with its session.
pub fn key(text: &str) -> CacheKey {
    let mut key = CacheKey::new(format!("buildkit.source.v0:{text}"), Vec::new());
    key.persistent = !text.starts_with("session:");
    key
}

fn error(text: impl Into<String>) -> CacheKeyError {
    CacheKeyError::Source(text.into())
}

/// A digest in an attribute, with the texts clients know.
fn parse_digest(text: &str) -> Result<Digest, CacheKeyError> {
    text.parse().map_err(|problem| match problem {
        DigestError::Algorithm(_) if !text.ends_with(':') && !text.starts_with(':') => {
            error("unsupported digest algorithm")
        }
        DigestError::Hex(_, length)
            if text.split_once(':').is_some_and(|(_, hex)| hex.len() != length && !hex.is_empty()) =>
        {
            error("invalid checksum digest length")
        }
        _ => error("invalid checksum digest format"),
    })
}

/// An integer in an attribute, as Go reads one with base 0: `0755`, `0o755`, `0x1ed`, `493`.
fn parse_integer(text: &str) -> Result<i64, CacheKeyError> {
    let invalid = || error(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, rest) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // Underscores may stand between digits, where a base prefix says how to read them.
    let prefixed = base != 10;
    let misplaced = rest.ends_with('_') || rest.contains("__") || !prefixed && rest.contains('_');
    let bare: String = rest.chars().filter(|character| *character != '_').collect();
    if misplaced || bare.is_empty() || !bare.chars().all(|character| character.is_digit(base)) {
        return Err(invalid());
    }
    let signed = if negative { format!("-{bare}") } else { bare };
    i64::from_str_radix(&signed, base)
        .map_err(|_| error(format!("strconv.ParseInt: parsing {text:?}: value out of range")))
}

/// A boolean in an attribute, as Go reads one.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_read_as_go_reads_them() {
        for (text, value) in
            [("0755", 493), ("0o755", 493), ("0x1ED", 493), ("-5", -5), ("+7", 7), ("0", 0), ("0b11", 3)]
        {
            assert_eq!(parse_integer(text), Ok(value), "{text}");
        }
        for bad in ["", "abc", "08", "1_0", "0x", "9999999999999999999", "--1", "é"] {
            assert!(parse_integer(bad).is_err(), "{bad}");
        }
    }
}
