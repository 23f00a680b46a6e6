//! `parser/dockerignore-read.json` and `parser/patternmatch.json`.

mod golden;

use golden::{rows, same, text, texts};
use serde_json::Value;
use slipway_frontend::plan::ignore::{ParentMatches, PatternMatcher, clean, read};

#[test]
fn files_read_as_in_the_reference() {
    rows("dockerignore-read.json", |row| match read(text(row, "input").unwrap().as_bytes()) {
        Ok(patterns) => same("patterns", patterns, texts(row, "patterns")),
        Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
    });
}

#[test]
fn paths_match_as_in_the_reference() {
    rows("patternmatch.json", |row| {
        let matcher = match PatternMatcher::new(&texts(row, "patterns")) {
            Ok(matcher) => matcher,
            Err(error) => return same("error", Some(error.to_string().as_str()), text(row, "error")),
        };
        same("error", None, text(row, "error"))?;
        let Some(path) = text(row, "path") else { return Ok(()) };
        let flag = |key: &str| row.get(key).and_then(Value::as_bool).unwrap_or_default();
        same("exceptions", matcher.has_exceptions(), flag("exclusions"))?;
        for (key, ours) in
            [("matches", matcher.matches(path)), ("matchesOrParent", matcher.matches_or_parent_matches(path))]
        {
            match ours {
                Ok(ours) => same(key, ours, flag(key))?,
                Err(error) => {
                    same(key, Some(error.to_string().as_str()), text(row, &format!("{key}Error")))?;
                }
            }
        }
        Ok(())
    });
}

/// A walk from the top gives what a lookup from nothing gives.
#[test]
fn a_walk_agrees_with_single_lookups() {
    rows("patternmatch.json", |row| {
        let Ok(matcher) = PatternMatcher::new(&texts(row, "patterns")) else { return Ok(()) };
        let Some(path) =
            text(row, "path").filter(|path| clean(path) == *path && !path.starts_with(['/', '.']))
        else {
            return Ok(());
        };
        let Ok(expected) = matcher.matches_or_parent_matches(path) else { return Ok(()) };
        let mut parent: Option<ParentMatches> = None;
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut last = false;
        for end in ends {
            let (matched, matches) =
                matcher.matches_using_parent(&path[..end], parent.as_ref()).map_err(|e| e.to_string())?;
            last = matched;
            parent = Some(matches);
        }
        same("walk", last, expected)
    });
}
