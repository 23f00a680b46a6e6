//! Pattern lists against recorded answers of the reference matcher.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test reports, and fails loudly on malformed golden data"
)]

use std::path::PathBuf;

use serde_json::Value;
use slipway_model::lexical::clean_text;
use slipway_model::pattern::{ParentMatch, PatternMatcher};

#[test]
fn pattern_lists_answer_as_recorded() {
    check(holds);
}

/// A walk from the top gives what a single question gives.
#[test]
fn walks_agree_with_single_questions() {
    check(walk_agrees);
}

fn check(holds: fn(&Value) -> bool) {
    let folder = std::env::var_os("SLIPWAY_GOLDEN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("parser/patternmatch.json")) else {
        println!("patternmatch: skipped, no golden data at {}", folder.display());
        return;
    };
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let failed: Vec<_> = rows.iter().filter(|row| !holds(row)).map(|row| row.to_string()).collect();
    println!("patternmatch: {} of {}", rows.len() - failed.len(), rows.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
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
        Err::<bool, slipway_model::pattern::PatternError>(found) => {
            row[error].as_str() == Some(&found.to_string())
        }
    };
    equal(list.matches(path), "matchesOrParent", "matchesOrParentError")
        && equal(list.matches_single_parent(path), "matches", "matchesError")
        && row["exclusions"].as_bool() == Some(list.has_exclusions())
}

fn walk_agrees(row: &Value) -> bool {
    let patterns = row["patterns"].as_array().unwrap().iter().map(|pattern| pattern.as_str().unwrap());
    let Ok(list) = PatternMatcher::new(patterns) else { return true };
    let clean = |path: &&str| clean_text(path) == *path && !path.starts_with(['/', '.']);
    let Some(path) = row["path"].as_str().filter(clean) else { return true };
    let Ok(expected) = list.matches(path) else { return true };
    let mut parent = ParentMatch::default();
    let mut last = false;
    for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
        (last, parent) = list.matches_below(&path[..end], &parent).unwrap();
    }
    last == expected
}
