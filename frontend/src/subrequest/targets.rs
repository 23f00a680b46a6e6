//! `frontend.targets`: the stages that can be built.

use serde_json::{Value, json};

use super::{answer_of, base64, location_json};
use crate::build::FrontendResult;
use crate::dockerfile::{self, Stage};
use crate::error::{Failure, parse_failure};
use crate::plan::context::Entry;

pub(super) fn targets(entry: &Entry) -> Result<FrontendResult, Failure> {
    let dockerfile = dockerfile::parse(&entry.data).map_err(|error| parse_failure(&error))?;
    let last = dockerfile.stages.len().saturating_sub(1);
    let stages = || dockerfile.stages.iter().enumerate().map(|(index, stage)| (stage, index == last));
    let listed: Vec<Value> = stages().map(|(stage, is_default)| target(stage, is_default)).collect();
    // Go writes an absent list so.
    let listed = if listed.is_empty() { Value::Null } else { Value::Array(listed) };
    let json = json!({"targets": listed, "sources": [base64(&entry.data)]});
    let rows: Vec<(String, &str)> =
        stages().map(|(stage, is_default)| (shown_name(stage, is_default), stage.doc.as_str())).collect();
    Ok(answer_of([
        ("result.json", serde_json::to_string_pretty(&json)?),
        ("result.txt", table(&rows)),
        ("version", "1.0.0".to_owned()),
    ]))
}

/// Empty members are left out.
fn target(stage: &Stage, is_default: bool) -> Value {
    let mut target = json!({});
    let before = [("name", &stage.name)];
    let after = [("description", &stage.doc), ("base", &stage.from.base), ("platform", &stage.from.platform)];
    for (key, text) in before.into_iter().chain(after).filter(|(_, text)| !text.is_empty()) {
        target[key] = text.as_str().into();
    }
    if is_default {
        target["default"] = true.into();
    }
    target["location"] = location_json(&stage.ranges);
    target
}

fn shown_name(stage: &Stage, is_default: bool) -> String {
    match (stage.name.as_str(), is_default) {
        ("", true) => "(default)".to_owned(),
        (name, true) => format!("{name} (default)"),
        (name, false) => name.to_owned(),
    }
}

fn table(rows: &[(String, &str)]) -> String {
    let title = "TARGET";
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(title.len());
    let line = |(name, text): (&str, &str)| format!("{name:width$} {text}\n");
    let rows = rows.iter().map(|(name, text)| (name.as_str(), *text));
    std::iter::once((title, "DESCRIPTION")).chain(rows).map(line).collect()
}
