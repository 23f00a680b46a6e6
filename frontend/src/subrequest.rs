//! Requests that want to know something about a Dockerfile instead of building it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use slipway_model::Platform;
use slipway_model::llb::pb;

use crate::build::FrontendResult;
use crate::dockerfile::Range;
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::lint::Finding;
use crate::lower::{Request, lower};
use crate::plan::context::Entry;
use crate::plan::options::Options;

pub(crate) async fn answer(
    request: &str,
    gateway: &dyn Gateway,
    options: &Options,
    inputs: &BTreeMap<String, pb::Definition>,
    entry: &Entry,
) -> Result<FrontendResult, Failure> {
    match request {
        "frontend.lint" => lint(gateway, options, inputs, entry).await,
        request => Err(Failure::new(format!("unsupported request {request}"))),
    }
}

/// Without a target all stages are looked at. A build that fails is part of the answer.
async fn lint(
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
    let metadata = [
        ("result.json", json),
        ("result.txt", text(&findings, entry)),
        ("result.statuscode", if failed { "1" } else { "0" }.to_owned()),
        ("version", "1.0.0".to_owned()),
    ];
    Ok(FrontendResult {
        metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), Bytes::from(value))).collect(),
        ..FrontendResult::default()
    })
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

/// Numbers that are 0, and lists without members, are left out on the wire.
fn location_json(ranges: &[Range]) -> Value {
    if ranges.is_empty() {
        return json!({});
    }
    let position = |line: u32| if line == 0 { json!({}) } else { json!({"line": line}) };
    let range = |range: &Range| json!({"start": position(range.start.line), "end": position(range.end.line)});
    json!({"ranges": ranges.iter().map(range).collect::<Vec<_>>()})
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

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
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

/// The lines meant, and some around them: the same ones as the reference's clients show.
fn excerpt(ranges: &[Range], entry: &Entry) -> String {
    let data = String::from_utf8_lossy(&entry.data);
    let lines: Vec<&str> = data.split('\n').collect();
    let line = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
    let (Some(first), Some(last)) = (
        ranges.iter().map(|range| line(range.start.line)).min(),
        ranges.iter().map(|range| line(range.end.line)).max(),
    ) else {
        return String::new();
    };
    if !(1..=lines.len()).contains(&first) {
        return String::new();
    }
    let (start, end) = with_surroundings(first, last.clamp(first, lines.len()), lines.len());
    let rule = "--------------------\n";
    let mut text = format!("{}:{first}\n{rule}", entry.info.filename);
    for (number, content) in (start..=end).zip(&lines[start - 1..]) {
        let is_meant = |range: &Range| (line(range.start.line)..=line(range.end.line)).contains(&number);
        let mark = if ranges.iter().any(is_meant) { ">>>" } else { "   " };
        text.push_str(&format!(" {number:3} | {mark} {content}\n"));
    }
    text.push_str(rule);
    text
}

/// One line gets more lines around it than several.
fn with_surroundings(mut start: usize, mut end: usize, count: usize) -> (usize, usize) {
    let wanted = if start == end { 4 } else { 2 };
    let mut added = 0;
    while added < wanted {
        if start > 1 {
            start -= 1;
            added += 1;
        }
        if end < count {
            end += 1;
            added += 1;
        }
        added += 1;
    }
    (start, end)
}
