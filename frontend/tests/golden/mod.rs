//! Where the reference's answers are kept, and how a table of them is gone through.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a test: both end in its report

use std::path::PathBuf;

use serde_json::Value;

/// The folder of recorded answers; `None` where it is absent.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SLIPWAY_GOLDEN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no recorded answers at {}", folder.display());
    None
}

/// Calls `check` with every row of `parser/<name>`; it answers with what differs. All differences
/// are shown.
#[allow(dead_code)]
pub(crate) fn rows(name: &str, mut check: impl FnMut(&Value) -> Result<(), String>) {
    let Some(folder) = folder() else { return };
    let text = std::fs::read_to_string(folder.join("parser").join(name)).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let wrong: Vec<String> =
        rows.iter().filter_map(|row| check(row).err().map(|error| format!("{row}\n  {error}"))).collect();
    assert!(wrong.is_empty(), "{} of {} rows differ:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// `Err` with both sides unless they are equal.
#[allow(dead_code)]
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: ours {ours:?}, theirs {theirs:?}")) }
}

/// A row's member as text; `None` for null.
#[allow(dead_code)]
pub(crate) fn text<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
    row.get(key).and_then(Value::as_str)
}

/// A row's member as a list of texts; null is empty.
#[allow(dead_code)]
pub(crate) fn texts(row: &Value, key: &str) -> Vec<String> {
    let list = row.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}
