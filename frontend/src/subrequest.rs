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
        let ranges = joined(failure.places.concat());
        let location =
            if failure.places.is_empty() { json!({}) } else { json!({"ranges": ranges_json(&ranges)}) };
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
    warning["location"] = json!({"ranges": ranges_json(&finding.ranges)});
    warning
}

fn ranges_json(ranges: &[Range]) -> Value {
    ranges
        .iter()
        .map(|range| json!({"start": {"line": range.start.line}, "end": {"line": range.end.line}}))
        .collect()
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

/// The lines meant, and some around them.
fn excerpt(ranges: &[Range], entry: &Entry) -> String {
    const AROUND: usize = 4;
    let data = String::from_utf8_lossy(&entry.data);
    let lines: Vec<&str> = data.lines().collect();
    let line = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
    let (Some(first), Some(last)) = (
        ranges.iter().map(|range| line(range.start.line)).min(),
        ranges.iter().map(|range| line(range.end.line)).max(),
    ) else {
        return String::new();
    };
    if first == 0 || last > lines.len() {
        return String::new();
    }
    // Lines before and after in turn, until there are enough.
    let (mut start, mut end, mut grown) = (first, last, 0);
    loop {
        let before = (start, end);
        if end < lines.len() && grown < AROUND {
            end += 1;
            grown += 1;
        }
        if start > 1 && grown < AROUND {
            start -= 1;
            grown += 1;
        }
        if before == (start, end) {
            break;
        }
    }
    let rule = "--------------------\n";
    let mut text = format!("{}:{first}\n{rule}", entry.info.filename);
    for number in start..=end {
        let is_meant =
            ranges.iter().any(|range| (line(range.start.line)..=line(range.end.line)).contains(&number));
        let mark = if is_meant { ">>>" } else { "   " };
        text.push_str(&format!(" {number:3} | {mark} {}\n", lines[number - 1]));
    }
    text.push_str(rule);
    text
}
