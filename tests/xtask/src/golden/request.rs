//! Requests that build nothing, and the warnings of builds.
//!
//! Findings of one instruction about several variables have no order in the reference, so lists
//! are compared as sets.

use serde_json::{Value, json};
use slipway_frontend::Warning;
use slipway_model::llb::pb;

use super::Report;
use super::case::Case;
use super::compare::differ;

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

/// `expected` is the recorded `outline/<case>.json`, without the file, lists sorted by name.
pub(super) fn compare_outline(
    case: &Case,
    bases: &Value,
    expected: &Value,
    differences: &mut Vec<String>,
) -> bool {
    let mut ours = answer(case, bases, "frontend.outline");
    ours["sources"] = json!([null]);
    for list in ["args", "secrets", "ssh"] {
        if let Some(list) = ours[list].as_array_mut() {
            list.sort_by_key(|member| member["name"].as_str().map(str::to_owned));
        }
    }
    // Looking for a member that is not there leaves null behind.
    if let Some(members) = ours.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    report_difference(case, "outline", &ours, expected, differences)
}

/// `expected` is the answer to `frontend.convertllb`; ids of groups are random in it.
pub(super) fn compare_graph(
    case: &Case,
    bases: &Value,
    expected: &Value,
    differences: &mut Vec<String>,
) -> bool {
    let mut ours = answer(case, bases, "frontend.convertllb");
    let mut theirs = expected.clone();
    for side in [&mut ours, &mut theirs] {
        for metadata in side["metadata"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
            if let Some(group) = metadata.get_mut("progress_group") {
                group["id"] = json!("");
            }
        }
        for locations in
            side["source"]["locations"].as_object_mut().into_iter().flat_map(|all| all.values_mut())
        {
            // Equal operations of several instructions are met in no particular order.
            if let Some(list) = locations.get_mut("locations").and_then(Value::as_array_mut) {
                list.sort_by_cached_key(ToString::to_string);
            }
        }
    }
    report_difference(case, "convertllb", &ours, &theirs, differences)
}

fn answer(case: &Case, bases: &Value, request: &str) -> Value {
    match case.ask(bases, request).result {
        Ok(result) => {
            let json = result.metadata.get("result.json").cloned().unwrap_or_default();
            serde_json::from_slice(&json).unwrap_or_default()
        }
        Err(error) => json!({ "error": error.message }),
    }
}

fn report_difference(
    case: &Case,
    what: &str,
    ours: &Value,
    theirs: &Value,
    differences: &mut Vec<String>,
) -> bool {
    let difference = differ(what, ours, theirs);
    let equal = difference.is_none();
    differences.extend(difference.map(|difference| format!("{}: {difference}", case.name)));
    equal
}

fn request_difference(case: &Case, bases: &Value, expected: &Value) -> Option<String> {
    let outcome = case.ask(bases, "frontend.lint");
    let result = match (outcome.result, expected.get("error")) {
        // The reference hands the request to the image, which holds itself; this frontend goes on.
        (Ok(_), Some(_)) if case.recorded("forward.json").is_some() => return None,
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
        ("text", json!(shown.map(|_| paragraphs(&text("result.txt")))), json!(shown.map(paragraphs))),
    ];
    let (what, ours, theirs) = pairs.into_iter().find(|(_, ours, theirs)| ours != theirs)?;
    Some(format!("{what}\n    ours   {ours}\n    theirs {theirs}"))
}

/// Findings of one line are shown in no particular order.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = text.split("\nWARNING: ").map(str::to_owned).collect();
    paragraphs.sort_unstable();
    paragraphs
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
