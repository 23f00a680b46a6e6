//! `.dockerignore`: which files of a context do not exist for a build.
//!
//! The patterns are not those of git: they are rooted at the context, a later `!pattern` brings files
//! back, and a match of a folder is a match of all that is in it. Here the file is read;
//! [`slipway_model::pattern`] is what its patterns mean.

use slipway_model::lexical::clean_text;

/// A file that cannot be read as a list. The texts are the reference's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    #[error("bufio.Scanner: token too long")]
    LongLine,
}

const LONGEST_LINE: usize = 64 << 10;

/// The patterns of a `.dockerignore` file, cleaned, without comments and empty lines; `!` stays in
/// front of an exception.
pub fn read(file: &[u8]) -> Result<Vec<String>, IgnoreError> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut patterns = Vec::new();
    for line in file.split(|byte| *byte == b'\n') {
        if line.len() >= LONGEST_LINE {
            return Err(IgnoreError::LongLine);
        }
        let line = String::from_utf8_lossy(line);
        let text = line.trim();
        if line.starts_with('#') || text.is_empty() {
            continue;
        }
        patterns.push(match text.strip_prefix('!') {
            Some(exception) => format!("!{}", rooted(exception.trim())),
            None => rooted(text),
        });
    }
    Ok(patterns)
}

/// `/a` and `a` are the same; an empty pattern stays empty.
fn rooted(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let cleaned = clean_text(pattern);
    match cleaned.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => cleaned,
    }
}
