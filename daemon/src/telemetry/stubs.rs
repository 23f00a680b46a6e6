//! Spans as clients of the reference read them from the record of a build: objects one after the other, in the form
//! of the stubs of OpenTelemetry's SDK for Go.

use serde_json::{Value, json};
use slipway_proto::otlp::common::KeyValue;
use slipway_proto::otlp::common::any_value;
use slipway_proto::otlp::trace::Span;
use slipway_proto::otlp::trace::status::StatusCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The media type of what [`write`] makes.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.buildkit.otlp.json.v0";

pub(super) fn write(spans: &[Span]) -> Vec<u8> {
    let mut text = Vec::new();
    for span in spans {
        text.extend_from_slice(stub(span).to_string().as_bytes());
        text.push(b'\n');
    }
    text
}

fn stub(span: &Span) -> Value {
    let code = match span.status.as_ref().map(|status| status.code()) {
        Some(StatusCode::Error) => "Error",
        Some(StatusCode::Ok) => "Ok",
        _ => "Unset",
    };
    // Kinds have the numbers of the protocol, which are those of the SDK.
    json!({
        "Name": span.name,
        "SpanContext": context(&span.trace_id, &span.span_id),
        "Parent": context(&span.trace_id, &span.parent_span_id),
        "SpanKind": span.kind,
        "StartTime": at(span.start_time_unix_nano),
        "EndTime": at(span.end_time_unix_nano),
        "Attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "Events": null,
        "Links": null,
        "Status": { "Code": code, "Description": "" },
        "DroppedAttributes": 0,
        "DroppedEvents": 0,
        "DroppedLinks": 0,
        "ChildSpanCount": 0,
        "Resource": [{ "Key": "service.name", "Value": { "Type": "STRING", "Value": "slipway" } }],
        "InstrumentationLibrary": { "Name": "slipway", "Version": "", "SchemaURL": "" },
    })
}

/// Zeroes for a span that has none.
fn context(trace: &[u8], span: &[u8]) -> Value {
    let (trace, flags) = if span.is_empty() { (&[0; 16][..], "00") } else { (trace, "01") };
    let span = if span.is_empty() { &[0; 8][..] } else { span };
    json!({
        "TraceID": hex(trace),
        "SpanID": hex(span),
        "TraceFlags": flags,
        "TraceState": "",
        "Remote": false,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn at(nanoseconds: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into());
    at.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339).unwrap_or_default()
}

fn attribute(of: &KeyValue) -> Value {
    let value = match of.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::BoolValue(value)) => json!({ "Type": "BOOL", "Value": value }),
        Some(any_value::Value::IntValue(value)) => json!({ "Type": "INT64", "Value": value }),
        Some(any_value::Value::StringValue(value)) => json!({ "Type": "STRING", "Value": value }),
        _ => json!({ "Type": "STRING", "Value": "" }),
    };
    json!({ "Key": of.key, "Value": value })
}
