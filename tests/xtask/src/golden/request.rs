//! Requests that build nothing, and the warnings of builds.
//!
//! Findings of one instruction about several variables have no order in the reference, so lists
//! are compared as sets.

use serde_json::{Value, json};
use slipway_frontend::Warning;
use slipway_model::llb::pb;

use super::Report;
use super::case::Case;

/// `expected` is the recorded `lint/<case>.json`.
pub(super) fn compare(case: &Case, bases: &Value, built: &[Warning], expected: &Value, report: &mut Report) {
    let difference = request_difference(case, bases, expected);
    report.lint.add(difference.is_none());
    report.differences.extend(difference.map(|difference| format!("{}: lint: {difference}", case.name)));

    let ours = sorted(built.iter().map(warning_json).collect());
    let theirs = sorted(expected["build_warnings"].as_array().cloned().unwrap_or_default());
    report.warnings.add(ours == theirs);
    if ours != theirs {
        let (ours, theirs) = (json!(ours), json!(theirs));
        report.differences.push(format!("{}: warnings\n    ours   {ours}\n    theirs {theirs}", case.name));
    }
}

/// `expected` is the recorded `targets/<case>.json`, without the file itself.
pub(super) fn compare_targets(case: &Case, bases: &Value, expected: &Value, report: &mut Report) {
    let answer = case.ask(bases, "frontend.targets").result;
    let json = answer.ok().and_then(|result| result.metadata.get("result.json").cloned()).unwrap_or_default();
    let mut ours: Value = serde_json::from_slice(&json).unwrap_or_default();
    ours["sources"] = json!([null]);
    report.targets.add(ours == *expected);
    if ours != *expected {
        report.differences.push(format!("{}: targets\n    ours   {ours}\n    theirs {expected}", case.name));
    }
}

fn request_difference(case: &Case, bases: &Value, expected: &Value) -> Option<String> {
    let outcome = case.ask(bases, "frontend.lint");
    let result = match (outcome.result, expected.get("error")) {
        // The reference forwards to the image; this frontend says that it does not.
        (Err(_), Some(_)) if case.recorded("forward.json").is_some() => return None,
        (Err(error), Some(expected)) if expected["message"] == error.message.as_str() => return None,
        (Err(error), _) => return Some(format!("fails: {}", error.message)),
        (Ok(_), Some(expected)) => return Some(format!("no error, expected {expected}")),
        (Ok(result), None) => result,
    };
    let text = |key: &str| {
        let value = result.metadata.get(key).cloned().unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    };
    let mut ours: Value = serde_json::from_str(&text("result.json")).unwrap_or_default();
    for source in ours["sources"].as_array_mut().into_iter().flatten() {
        *source = json!({"filename": source["filename"], "language": source["language"]});
    }
    let mut theirs = expected["lint"].clone();
    for side in [&mut ours, &mut theirs] {
        if let Some(warnings) = side["warnings"].as_array_mut() {
            *warnings = sorted(std::mem::take(warnings));
        }
    }
    let shown = expected["result_txt"].as_str();
    let pairs = [
        ("result", ours, theirs),
        ("status", json!(text("result.statuscode")), expected["statuscode"].clone()),
        ("text", json!(shown.map(|_| text("result.txt"))), json!(shown)),
    ];
    let (what, ours, theirs) = pairs.into_iter().find(|(_, ours, theirs)| ours != theirs)?;
    Some(format!("{what}\n    ours   {ours}\n    theirs {theirs}"))
}

fn warning_json(warning: &Warning) -> Value {
    let place = |position: Option<pb::Position>| {
        let position = position.unwrap_or_default();
        json!([position.line, position.character])
    };
    let ranges: Vec<Value> =
        warning.ranges.iter().map(|range| json!([place(range.start), place(range.end)])).collect();
    json!({
        "detail": warning.detail,
        "level": warning.level,
        "message": warning.short,
        "ranges": ranges,
        "url": warning.url,
        "vertex": warning.vertex.map(|vertex| vertex.to_string()),
    })
}

fn sorted(list: Vec<Value>) -> Vec<Value> {
    // Objects keep the order of their members, which does not count.
    let ordered = |value: &Value| match value {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.into_iter().collect()
        }
        other => other.clone(),
    };
    let mut list: Vec<Value> = list.iter().map(ordered).collect();
    list.sort_by_cached_key(ToString::to_string);
    list
}
