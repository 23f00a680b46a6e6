//! The tables of `parser/`: one row is one text and what the reference makes of it.
#![expect(clippy::unwrap_used, reason = "recorded rows have their members")]

mod git;
mod heredoc;
mod mounts;
mod names;
mod patterns;
mod shell;
mod values;

use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use slipway_frontend::plan::ignore;

use super::case::read_json;
use super::{Count, Report};

type Check = fn(&Value) -> Result<(), String>;

/// A file, and what holds for each of its rows.
const TABLES: [(&str, &[Check]); 13] = [
    ("chmod", &[values::chmod]),
    ("chown", &[values::owner]),
    ("dockerignore-read", &[ignore_file]),
    ("duration", &[values::duration]),
    ("expose", &[values::ports]),
    ("git", &[git::url, git::reference]),
    ("healthcheck", &[values::health_check]),
    ("heredoc-dockerfile", &[heredoc::body]),
    ("heredoc-word", &[heredoc::word]),
    ("imageref", &[names::image]),
    ("patternmatch", &[patterns::answer]),
    ("platform", &[names::platform]),
    ("runmount", &[mounts::mounts]),
];

pub(super) fn compare(folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    for (name, checks) in TABLES {
        let check = |row: &Value| checks.iter().try_for_each(|check| check(row));
        compare_rows(folder, name, check, report)?;
    }
    if let Ok(environments) = read_json(&folder.join("parser/shell-env.json")) {
        compare_rows(folder, "shell", |row| shell::words(row, &environments), report)?;
    }
    Ok(())
}

/// A table that is absent has no rows.
fn compare_rows(
    folder: &Path,
    name: &str,
    check: impl Fn(&Value) -> Result<(), String>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let path = folder.join(format!("parser/{name}.json"));
    if !path.exists() {
        return Ok(());
    }
    let rows = read_json(&path)?;
    let mut count = Count::default();
    for row in rows.as_array().with_context(|| format!("{name}: no rows"))? {
        let outcome = check(row);
        count.add(outcome.is_ok());
        report.differences.extend(outcome.err().map(|error| format!("parser/{name}: {row}\n    {error}")));
    }
    report.tables.push((format!("parser/{name}"), count));
    Ok(())
}

fn ignore_file(row: &Value) -> Result<(), String> {
    match ignore::read(text(row, "input").unwrap().as_bytes()) {
        Ok(patterns) => same("patterns", patterns, texts(row, "patterns")),
        Err(error) => same("error", Some(error.to_string().as_str()), text(row, "error")),
    }
}

/// `Err` with both sides unless they are equal.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: ours {ours:?}, theirs {theirs:?}")) }
}

/// A row's member as text; `None` for null.
fn text<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
    row.get(key).and_then(Value::as_str)
}

/// A row's member as a list of texts; null is empty.
fn texts(row: &Value, key: &str) -> Vec<String> {
    let list = row.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}
