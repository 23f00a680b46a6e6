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

#[derive(Deserialize, Default)]
#[serde(default)]
struct Source {
    info: Info,
    ranges: Vec<Range>,
}

#[derive(Deserialize, Default)]
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

/// Draws the sources that `status` carries; `None` if there are none.
pub fn excerpt(status: &tonic::Status) -> Option<String> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let mut text = String::new();
    for detail in details.iter().filter(|detail| detail.type_url.ends_with(SOURCE)) {
        if let Ok(source) = serde_json::from_slice::<Source>(&detail.value) {
            text.push_str(&draw(&source).unwrap_or_default());
        }
    }
    (!text.is_empty()).then_some(text)
}

fn draw(source: &Source) -> Option<String> {
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
        // Writing to a String cannot fail.
        let _ = writeln!(text, " {line:>3} | {mark} {}", lines[line - 1]);
    }
    text.push_str("--------------------\n");
    Some(text)
}
