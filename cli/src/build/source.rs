//! The lines of a Dockerfile that an error is about, drawn.
//!
//! The daemon sends them in the status's details (`google.rpc.Status`), as BuildKit does: JSON under the
//! type `github.com/moby/buildkit/errdefs.Source+json`.

use std::fmt::Write;

use base64::Engine;
use prost::Message;
use serde::Deserialize;
use slipway_proto::rpc;

const SOURCE: &str = "errdefs.Source+json";
const DIAGNOSTICS: &str = "slipway.Diagnostics+json";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Source {
    info: Info,
    ranges: Vec<Range>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Info {
    filename: String,
    /// Base64, as Go writes bytes.
    data: String,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct Position {
    line: usize,
}

/// What the daemon's own frontend adds: columns, what was expected, the file's other errors.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Diagnostic {
    message: String,
    start: Place,
    end: Place,
    expected: String,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct Place {
    line: usize,
    column: usize,
}

/// Draws the sources that `status` carries; `None` if there are none.
pub fn excerpt(status: &tonic::Status) -> Option<String> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let diagnostics: Vec<Diagnostic> = details
        .iter()
        .find(|detail| detail.type_url.ends_with(DIAGNOSTICS))
        .and_then(|detail| serde_json::from_slice(&detail.value).ok())
        .unwrap_or_default();
    let (first, others) = match diagnostics.split_first() {
        Some((first, others)) => (Some(first), others),
        None => (None, &[][..]),
    };
    let mut text = String::new();
    let sources = details.iter().filter(|detail| detail.type_url.ends_with(SOURCE));
    let sources: Vec<Source> =
        sources.filter_map(|detail| serde_json::from_slice(&detail.value).ok()).collect();
    for (index, source) in sources.iter().enumerate() {
        text.push_str(&draw(source, first.filter(|_| index == 0)).unwrap_or_default());
    }
    if let Some(first) = first.filter(|first| !first.expected.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "expected {}", first.expected);
    }
    for other in others {
        let _ = writeln!(text, "\nalso: {}", other.message);
        let Some(source) = sources.first().filter(|_| other.start.line > 0) else { continue };
        let position = Position { line: other.start.line };
        let own =
            Source { info: source.info.clone(), ranges: vec![Range { start: position, end: position }] };
        text.push_str(&draw(&own, Some(other)).unwrap_or_default());
    }
    (!text.is_empty()).then_some(text)
}

fn draw(source: &Source, diagnostic: Option<&Diagnostic>) -> Option<String> {
    let data = base64::engine::general_purpose::STANDARD.decode(&source.info.data).ok()?;
    let data = String::from_utf8_lossy(&data);
    let lines: Vec<&str> = data.lines().collect();
    let marked = |line: usize| {
        source
            .ranges
            .iter()
            .any(|range| (range.start.line..=range.end.line.max(range.start.line)).contains(&line))
    };
    let first = source.ranges.iter().map(|range| range.start.line).min()?;
    let last = source.ranges.iter().map(|range| range.end.line.max(range.start.line)).max()?.min(lines.len());
    if first == 0 || first > lines.len() {
        return None;
    }
    let around = if first == last { 2 } else { 1 };
    let (from, to) = (first.saturating_sub(around).max(1), (last + around).min(lines.len()));
    let mut text = format!("{}:{first}\n--------------------\n", source.info.filename);
    for line in from..=to {
        let mark = if marked(line) { ">>>" } else { "   " };
        let _ = writeln!(text, " {line:>3} | {mark} {}", lines[line - 1]);
        if let Some(diagnostic) = diagnostic.filter(|diagnostic| diagnostic.start.line == line) {
            let _ = writeln!(text, "     |     {}", marks(lines[line - 1], diagnostic));
        }
    }
    text.push_str("--------------------\n");
    Some(text)
}

/// `^` below the characters that are meant; tabs stay, so that both lines are as wide.
fn marks(line: &str, diagnostic: &Diagnostic) -> String {
    let (from, to) = (diagnostic.start.column.max(1) - 1, diagnostic.end.column.max(2) - 1);
    let before: String = line.chars().take(from).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let width = line.chars().count().min(to).saturating_sub(from).max(1);
    format!("{before}{}", "^".repeat(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_marked_and_other_errors_follow() {
        let data = base64::engine::general_purpose::STANDARD.encode("FROM a\n\tCOPY --form=b c d\nRUNN x\n");
        let source = format!(
            r#"{{"info":{{"filename":"F","data":"{data}"}},"ranges":[{{"start":{{"line":2}},"end":{{"line":2}}}}]}}"#
        );
        let diagnostics = r#"[
            {"message":"unknown flag","start":{"line":2,"column":7},"end":{"line":2,"column":13},"expected":"x"},
            {"message":"unknown instruction","start":{"line":3,"column":1},"end":{"line":3,"column":5}}
        ]"#;
        let detail = |kind: &str, value: &str| prost_types::Any {
            type_url: format!("github.com/moby/buildkit/{kind}"),
            value: value.as_bytes().to_vec(),
        };
        let status = rpc::Status {
            details: vec![detail(DIAGNOSTICS, diagnostics), detail(SOURCE, &source)],
            ..rpc::Status::default()
        };
        let status = tonic::Status::with_details(tonic::Code::Unknown, "x", status.encode_to_vec().into());
        let text = excerpt(&status).unwrap_or_default();
        assert!(text.contains("   2 | >>> \tCOPY --form=b c d\n     |     \t     ^^^^^^\n"), "{text}");
        assert!(text.contains("expected x\n\nalso: unknown instruction\nF:3\n"), "{text}");
        assert!(text.contains("   3 | >>> RUNN x\n     |     ^^^^\n"), "{text}");
    }
}
