//! Requests that want to know something about a Dockerfile instead of building it.
//!
//! Answers are metadata: JSON for programs, text for people.

mod excerpt;
mod lint;
mod targets;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use slipway_model::llb::pb;

use crate::build::FrontendResult;
use crate::dockerfile::Range;
use crate::error::Failure;
use crate::gateway::Gateway;
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
        "frontend.lint" => lint::lint(gateway, options, inputs, entry).await,
        "frontend.targets" => targets::targets(entry),
        request => Err(Failure::new(format!(
            "request {request} is not supported: use frontend.lint or frontend.targets"
        ))),
    }
}

fn answer_of<const N: usize>(metadata: [(&str, String); N]) -> FrontendResult {
    FrontendResult {
        metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), Bytes::from(value))).collect(),
        ..FrontendResult::default()
    }
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

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
