//! Replacing every match, with the reference's templates.
//!
//! The reference hands the replacement text to its regular expression library, which reads `$0` in
//! it as the match, other `$name` and `${name}` as groups that do not exist, and `$$` as a dollar.
//! Such a `$` can only come from an escaped one or from a variable's value.

use super::pattern::Pattern;
use super::{MAX_LENGTH, Problem};

pub(super) fn replace_all(pattern: &Pattern, value: &str, replacement: &str) -> Result<String, Problem> {
    let characters: Vec<char> = value.chars().collect();
    let mut matcher = pattern.matcher(&characters)?;
    let mut result = String::new();
    let (mut search, mut last_end) = (0, 0);
    while search <= characters.len() {
        let Some((start, end)) = matcher.find(search) else { break };
        result.extend(&characters[last_end..start]);
        // Not for an empty match right behind another match.
        if end > last_end || start == 0 {
            apply(replacement, &characters[start..end], &mut result);
        }
        if result.len() > MAX_LENGTH {
            return Err(Problem::TooLong);
        }
        last_end = end;
        search = end.max(search + 1);
    }
    result.extend(characters.get(last_end..).unwrap_or_default());
    Ok(result)
}

fn apply(template: &str, matched: &[char], result: &mut String) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        rest = after;
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = group(after) {
            if !name.is_empty() && name.bytes().all(|b| b == b'0') {
                result.extend(matched);
            }
            rest = after;
        } else {
            result.push('$');
        }
    }
    result.push_str(rest);
}

/// `name` or `{name}`, and what follows.
fn group(text: &str) -> Option<(&str, &str)> {
    let (text, braced) = match text.strip_prefix('{') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match (name.is_empty(), braced) {
        (true, _) => None,
        (false, true) => rest.strip_prefix('}').map(|rest| (name, rest)),
        (false, false) => Some((name, rest)),
    }
}
