//! All about one build.

use serde_json::{Value, json};
use slipway_proto::control::{self, BuildHistoryRecord};

use super::{duration, status, timestamp};
use crate::format;

pub(super) fn print(record: &BuildHistoryRecord, as_json: bool) {
    if as_json {
        println!("{:#}", json(record));
        return;
    }
    let line = |name: &str, value: &str| println!("{:<16}{value}", format!("{name}:"));
    line("Build", &record.r#ref);
    line("Status", status(record));
    line("Started", &timestamp(record.created_at).unwrap_or_default());
    line("Duration", &format::seconds(duration(record)));
    line("Frontend", &record.frontend);
    line(
        "Steps",
        &format!(
            "{} of {} completed, {} cached, {} warnings",
            record.num_completed_steps, record.num_total_steps, record.num_cached_steps, record.num_warnings
        ),
    );
    if record.pinned {
        line("Pinned", "yes");
    }
    if let Some(error) = &record.error {
        line("Error", &error.message);
    }
    section("Options", record.frontend_attrs.iter().map(|(key, value)| format!("{key}={value}")));
    let exporter = |exporter: &control::Exporter| {
        let options = exporter.attrs.iter().map(|(key, value)| format!(",{key}={value}"));
        format!("type={}{}", exporter.r#type, options.collect::<String>())
    };
    section("Exporters", record.exporters.iter().map(exporter));
    let results = record.result.iter().flat_map(|result| result.results.values());
    section("Results", results.map(|result| format!("{} {}", result.digest, result.media_type)));
}

fn section(title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        println!("\n{title}:");
        lines.for_each(|line| println!("  {line}"));
    }
}

/// What was built: the stage, or the context.
pub(super) fn target(record: &BuildHistoryRecord) -> &str {
    let option = |key: &str| record.frontend_attrs.get(key).map(String::as_str);
    option("target").or_else(|| option("vcs:source")).or_else(|| option("context")).unwrap_or_default()
}

pub(super) fn json(record: &BuildHistoryRecord) -> Value {
    let exporter = |exporter: &control::Exporter| json!({ "type": exporter.r#type, "attrs": exporter.attrs });
    let results = record.result.iter().flat_map(|result| &result.results);
    json!({
        "ref": record.r#ref,
        "status": status(record),
        "createdAt": timestamp(record.created_at),
        "completedAt": timestamp(record.completed_at),
        "seconds": duration(record).as_secs_f64(),
        "frontend": record.frontend,
        "frontendAttrs": record.frontend_attrs,
        "exporters": record.exporters.iter().map(exporter).collect::<Vec<_>>(),
        "exporterResponse": record.exporter_response,
        "error": record.error.as_ref().map(|error| json!({ "code": error.code, "message": error.message })),
        "steps": {
            "total": record.num_total_steps,
            "completed": record.num_completed_steps,
            "cached": record.num_cached_steps,
            "warnings": record.num_warnings,
        },
        "pinned": record.pinned,
        "generation": record.generation,
        "logs": record.logs.as_ref().map(descriptor),
        "trace": record.trace.as_ref().map(descriptor),
        "externalError": record.external_error.as_ref().map(descriptor),
        "results": results
            .map(|(index, result)| (index.to_string(), descriptor(result)))
            .collect::<serde_json::Map<_, _>>(),
    })
}

fn descriptor(of: &control::Descriptor) -> Value {
    json!({
        "mediaType": of.media_type,
        "digest": of.digest,
        "size": of.size,
        "annotations": of.annotations,
    })
}
