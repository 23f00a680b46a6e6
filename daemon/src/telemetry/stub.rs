//! Spans as the history keeps them: one JSON object after the other, in the form that OpenTelemetry's Go library
//! gives a span stub. `buildx history trace` reads it.

use serde::Serialize;
use slipway_proto::otlp::common::any_value::Value;
use slipway_proto::otlp::common::{AnyValue, KeyValue};
use slipway_proto::otlp::trace::Span;
use slipway_proto::otlp::trace::status::StatusCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::collector::{SERVICE, text};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stub<'a> {
    name: &'a str,
    span_context: Context,
    parent: Context,
    span_kind: i32,
    start_time: String,
    end_time: String,
    attributes: Vec<Attribute<'a>>,
    events: Option<()>,
    links: Option<()>,
    status: Outcome,
    dropped_attributes: u32,
    dropped_events: u32,
    dropped_links: u32,
    child_span_count: usize,
    resource: Vec<Attribute<'a>>,
    instrumentation_library: Library,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    #[serde(rename = "TraceID")]
    trace: String,
    #[serde(rename = "SpanID")]
    span: String,
    trace_flags: &'static str,
    trace_state: &'static str,
    remote: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute<'a> {
    key: &'a str,
    value: Typed<'a>,
}

#[derive(Serialize)]
#[serde(tag = "Type", content = "Value", rename_all = "UPPERCASE")]
enum Typed<'a> {
    String(&'a str),
    Bool(bool),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    code: &'static str,
    description: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Library {
    name: &'static str,
    version: &'static str,
    #[serde(rename = "SchemaURL")]
    schema: &'static str,
}

pub(super) fn encode(spans: &[Span]) -> Vec<u8> {
    let resource = [text("service.name", SERVICE)];
    let mut bytes = Vec::new();
    for span in spans {
        // A vector takes everything, and all keys are text.
        if serde_json::to_writer(&mut bytes, &stub(span, &resource)).is_ok() {
            bytes.push(b'\n');
        }
    }
    bytes
}

fn stub<'a>(span: &'a Span, resource: &'a [KeyValue]) -> Stub<'a> {
    let failed = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
    Stub {
        name: &span.name,
        span_context: context(&span.trace_id, &span.span_id),
        parent: context(&span.trace_id, &span.parent_span_id),
        span_kind: span.kind,
        start_time: time(span.start_time_unix_nano),
        end_time: time(span.end_time_unix_nano),
        attributes: attributes(&span.attributes),
        events: None,
        links: None,
        status: Outcome { code: if failed { "Error" } else { "Ok" }, description: "" },
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
        child_span_count: 0,
        resource: attributes(resource),
        instrumentation_library: Library { name: "slipway", version: "", schema: "" },
    }
}

/// A span without a parent has one of zeros.
fn context(trace: &[u8], span: &[u8]) -> Context {
    let hex = |bytes: &[u8], length: usize| {
        let padded: Vec<u8> = bytes.iter().copied().chain(std::iter::repeat(0)).take(length).collect();
        slipway_model::hex(&padded)
    };
    Context { trace: hex(trace, 16), span: hex(span, 8), trace_flags: "01", trace_state: "", remote: false }
}

fn attributes(all: &[KeyValue]) -> Vec<Attribute<'_>> {
    all.iter()
        .filter_map(|pair| Some(Attribute { key: &pair.key, value: typed(pair.value.as_ref()?)? }))
        .collect()
}

/// Spans have attributes of no other types.
fn typed(value: &AnyValue) -> Option<Typed<'_>> {
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(Typed::String(text)),
        Value::BoolValue(is) => Some(Typed::Bool(*is)),
        _ => None,
    }
}

fn time(nanoseconds: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into());
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_clients_read_it() {
        let span = Span {
            trace_id: vec![0xab; 16].into(),
            span_id: vec![1; 8].into(),
            name: "build".into(),
            kind: 2,
            start_time_unix_nano: 1_700_000_000_123_456_789,
            end_time_unix_nano: 1_700_000_001_000_000_000,
            attributes: vec![text("build", "x")],
            ..Span::default()
        };
        let bytes = encode(&[span.clone(), span]);
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 2);
        let mut read = serde_json::Deserializer::from_slice(&bytes).into_iter::<serde_json::Value>();
        let stub = read.next().unwrap().unwrap();
        assert_eq!(stub["SpanContext"]["TraceID"], "ab".repeat(16));
        assert_eq!(stub["Parent"]["SpanID"], "0".repeat(16));
        assert_eq!(stub["StartTime"], "2023-11-14T22:13:20.123456789Z");
        assert_eq!(stub["Attributes"][0]["Value"], serde_json::json!({"Type": "STRING", "Value": "x"}));
        assert_eq!(stub["Status"]["Code"], "Ok");
        assert_eq!(stub["Resource"][0]["Key"], "service.name");
    }
}
