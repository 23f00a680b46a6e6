//! `patternmatch.json`: lists of patterns, as ignore files hold them, and paths.

use serde_json::Value;
use slipway_model::pattern::{PatternError, PatternMatcher};

pub(super) fn answer(row: &Value) -> Result<(), String> {
    if holds(row) { Ok(()) } else { Err("answers differ".to_owned()) }
}

fn holds(row: &Value) -> bool {
    let patterns = row["patterns"].as_array().unwrap().iter().map(|pattern| pattern.as_str().unwrap());
    let list = match PatternMatcher::new(patterns) {
        Ok(list) => list,
        Err(error) => return row.get("error").and_then(Value::as_str) == Some(&error.to_string()),
    };
    let Some(path) = row.get("path").and_then(Value::as_str) else { return false };
    let equal = |answer: Result<bool, _>, value: &str, error: &str| match answer {
        Ok(matched) => row[error].is_null() && row[value].as_bool() == Some(matched),
        Err::<bool, PatternError>(found) => row[error].as_str() == Some(&found.to_string()),
    };
    equal(list.matches(path), "matchesOrParent", "matchesOrParentError")
        && equal(list.matches_single_parent(path), "matches", "matchesError")
        && row["exclusions"].as_bool() == Some(list.has_exclusions())
}
