//! `frontend.lint`: all findings, and why the build would fail.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use slipway_model::Platform;
use slipway_model::llb::pb;

use super::excerpt::excerpt;
use super::{answer_of, base64, location_json};
use crate::build::FrontendResult;
use crate::dockerfile::Range;
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::lint::Finding;
use crate::lower::{Request, lower};
use crate::plan::context::Entry;
use crate::plan::options::Options;

/// Without a target all stages are looked at. A build that fails is part of the answer.
pub(super) async fn lint(
    gateway: &dyn Gateway,
    options: &Options,
    inputs: &BTreeMap<String, pb::Definition>,
    entry: &Entry,
) -> Result<FrontendResult, Failure> {
    let build_platform = gateway.facts().build_platforms.first().cloned().unwrap_or_else(Platform::host);
    let request = Request {
        gateway,
        options,
        inputs,
        entry,
        platform: None,
        build_platform: &build_platform,
        all_stages: options.target.is_empty(),
    };
    let (result, findings) = lower(&request).await;
    let failure = result.err();
    let failed = failure.is_some() || !findings.is_empty();
    let mut answer = json!({
        "warnings": if findings.is_empty() { Value::Null } else { findings.iter().map(warning).collect() },
        "sources": [{
            "filename": entry.info.filename,
            "language": entry.info.language,
            "definition": definition_json(entry),
            "data": base64(&entry.data),
        }],
    });
    if let Some(failure) = failure {
        let location = location_json(&joined(failure.places.concat()));
        answer["buildError"] = json!({"message": failure.message, "location": location});
    }
    let json = serde_json::to_string_pretty(&answer)?;
    Ok(answer_of([
        ("result.json", json),
        ("result.txt", text(&findings, entry)),
        ("result.statuscode", if failed { "1" } else { "0" }.to_owned()),
        ("version", "1.0.0".to_owned()),
    ]))
}

fn warning(finding: &Finding) -> Value {
    let mut warning = json!({"ruleName": finding.rule.name, "description": finding.rule.description});
    if !finding.rule.url.is_empty() {
        warning["url"] = finding.rule.url.into();
    }
    warning["detail"] = finding.message.clone().into();
    warning["location"] = location_json(&finding.ranges);
    warning
}

/// Sorted, overlapping ones as one.
fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_by_key(|range| range.start.line);
    let mut joined: Vec<Range> = Vec::new();
    for range in ranges {
        match joined.last_mut().filter(|last| range.start.line <= last.end.line) {
            Some(last) => last.end.line = last.end.line.max(range.end.line),
            None => joined.push(range),
        }
    }
    joined
}

fn definition_json(entry: &Entry) -> Value {
    let definition = entry.info.definition.clone().unwrap_or_default();
    json!({"def": definition.def.iter().map(|op| base64(op)).collect::<Vec<_>>()})
}

/// The findings for people, in the order of the file, each with an excerpt.
fn text(findings: &[Finding], entry: &Entry) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.ranges.first().map_or(0, |range| range.start.line));
    sorted.into_iter().map(|finding| text_of(finding, entry)).collect()
}

fn text_of(finding: &Finding, entry: &Entry) -> String {
    let mut text = format!("\nWARNING: {}", finding.rule.name);
    if !finding.rule.url.is_empty() {
        text.push_str(&format!(" - {}", finding.rule.url));
    }
    text.push_str(&format!("\n{}\n", finding.message));
    text.push_str(&excerpt(&finding.ranges, entry));
    text
}
