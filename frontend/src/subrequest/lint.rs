//! `frontend.lint`: all findings, and why the build would fail.

use serde_json::{Value, json};

use super::excerpt::excerpt;
use super::json::{Members, location, pretty, source_info};
use super::{Question, answer_of};
use crate::build::FrontendResult;
use crate::dockerfile::Range;
use crate::error::Failure;
use crate::lint::Finding;
use crate::lower::{Request, lower};
use crate::plan::context::Entry;

/// Without a target all stages are looked at. A build that fails is part of the answer.
pub(super) async fn lint(question: &Question<'_>) -> Result<FrontendResult, Failure> {
    let all_stages = question.options.target.is_empty();
    let (result, findings) = lower(&Request { all_stages, ..question.request() }).await;
    let failure = result.err();
    let failed = failure.is_some() || !findings.is_empty();
    let entry = question.entry;
    let warnings: Value =
        if findings.is_empty() { Value::Null } else { findings.iter().map(warning).collect() };
    let mut answer = json!({"warnings": warnings, "sources": [source_info(&entry.info)]});
    if let Some(failure) = failure {
        let location = location(&joined(failure.places.concat()));
        answer["buildError"] = json!({"message": failure.message, "location": location});
    }
    Ok(answer_of([
        ("result.json", pretty(&answer)?),
        ("result.txt", text(&findings, entry)),
        ("result.statuscode", if failed { "1" } else { "0" }.to_owned()),
        ("version", "1.0.0".to_owned()),
    ]))
}

fn warning(finding: &Finding) -> Value {
    Members::default()
        .value("ruleName", finding.rule.name)
        .text("description", finding.rule.description)
        .text("url", finding.rule.url)
        .text("detail", &finding.message)
        .value("location", location(&finding.ranges))
        .into()
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

/// The findings for people, in the order of the file, each with an excerpt.
fn text(findings: &[Finding], entry: &Entry) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.ranges.first().map_or(0, |range| range.start.line));
    let data = String::from_utf8_lossy(&entry.data);
    let lines: Vec<&str> = data.split('\n').collect();
    sorted.into_iter().map(|finding| text_of(finding, &entry.info.filename, &lines)).collect()
}

fn text_of(finding: &Finding, file_name: &str, lines: &[&str]) -> String {
    let mut text = format!("\nWARNING: {}", finding.rule.name);
    if !finding.rule.url.is_empty() {
        text.push_str(&format!(" - {}", finding.rule.url));
    }
    text.push_str(&format!("\n{}\n", finding.message));
    text.push_str(&excerpt(&finding.ranges, file_name, lines));
    text
}
