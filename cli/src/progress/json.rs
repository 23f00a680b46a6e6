//! Progress as JSON lines, in the form of BuildKit's `rawjson`.

use base64::Engine;
use serde_json::{Map, Value, json};
use slipway_proto::control::StatusResponse;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub struct Json;

impl Json {
    pub fn update(&self, message: &StatusResponse) {
        eprintln!("{}", line(message));
    }
}

pub(super) fn line(message: &StatusResponse) -> Value {
    let mut fields = Map::new();
    let vertexes: Vec<Value> = message
        .vertexes
        .iter()
        .map(|vertex| {
            object([
                ("digest", vertex.digest.clone().into()),
                ("inputs", vertex.inputs.clone().into()),
                ("name", vertex.name.clone().into()),
                ("started", time(vertex.started)),
                ("completed", time(vertex.completed)),
                ("cached", if vertex.cached { true.into() } else { Value::Null }),
                ("error", text(&vertex.error)),
            ])
        })
        .collect();
    let statuses: Vec<Value> = message
        .statuses
        .iter()
        .map(|status| {
            object([
                ("id", status.id.clone().into()),
                ("vertex", status.vertex.clone().into()),
                ("name", text(&status.name)),
                ("total", if status.total == 0 { Value::Null } else { status.total.into() }),
                ("current", status.current.into()),
                ("timestamp", time(status.timestamp)),
                ("started", time(status.started)),
                ("completed", time(status.completed)),
            ])
        })
        .collect();
    let logs: Vec<Value> = message
        .logs
        .iter()
        .map(|log| {
            object([
                ("vertex", log.vertex.clone().into()),
                ("stream", log.stream.into()),
                ("data", base64(&log.msg)),
                ("timestamp", time(log.timestamp)),
            ])
        })
        .collect();
    let warnings: Vec<Value> = message
        .warnings
        .iter()
        .map(|warning| {
            object([
                ("vertex", warning.vertex.clone().into()),
                ("level", warning.level.into()),
                ("short", base64(&warning.short)),
                ("detail", warning.detail.iter().map(|line| base64(line)).collect()),
                ("url", text(&warning.url)),
            ])
        })
        .collect();
    for (key, list) in
        [("vertexes", vertexes), ("statuses", statuses), ("logs", logs), ("warnings", warnings)]
    {
        if !list.is_empty() {
            fields.insert(key.into(), list.into());
        }
    }
    json!(fields)
}

/// Leaves out what is null.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let set = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(set.map(|(key, value)| (key.to_owned(), value)).collect())
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn base64(bytes: &[u8]) -> Value {
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}

fn time(timestamp: Option<prost_types::Timestamp>) -> Value {
    let nanoseconds =
        |at: prost_types::Timestamp| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    let at = timestamp.and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(nanoseconds(at)).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).map_or(Value::Null, Value::from)
}
