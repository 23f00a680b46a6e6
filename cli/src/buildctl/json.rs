//! Answers as JSON, in the names that the reference's client writes.

use serde_json::{Value, json};
use slipway_proto::control::types::{BuildkitVersion, WorkerRecord};
use slipway_proto::control::{
    BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord, Descriptor, UsageRecord,
};
use slipway_proto::pb;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub fn usage(record: &UsageRecord) -> Value {
    json!({
        "id": record.id,
        "mutable": record.mutable,
        "inUse": record.in_use,
        "size": record.size,
        "createdAt": record.created_at.and_then(rfc3339),
        "lastUsedAt": record.last_used_at.and_then(rfc3339),
        "usageCount": record.usage_count,
        "parents": record.parents,
        "description": record.description,
        "recordType": record.record_type,
        "shared": record.shared,
    })
}

pub fn version(version: &BuildkitVersion) -> Value {
    json!({
        "package": version.package,
        "version": version.version,
        "revision": version.revision,
        "dockerfileVersion": version.dockerfile_version,
    })
}

pub fn worker(worker: &WorkerRecord) -> Value {
    let platform = |platform: &pb::Platform| {
        let mut json = json!({ "architecture": platform.architecture, "os": platform.os });
        if !platform.variant.is_empty() {
            json["variant"] = platform.variant.clone().into();
        }
        json
    };
    let policies = worker.gc_policy.iter().map(|policy| {
        json!({
            "filter": policy.filters,
            "all": policy.all,
            "keepDuration": policy.keep_duration,
            "reservedSpace": policy.reserved_space,
            "maxUsedSpace": policy.max_used_space,
            "minFreeSpace": policy.min_free_space,
        })
    });
    let devices = worker.cdi_devices.iter().map(|device| {
        json!({
            "name": device.name,
            "autoAllow": device.auto_allow,
            "annotations": device.annotations,
            "onDemand": device.on_demand,
        })
    });
    json!({
        "id": worker.id,
        "labels": worker.labels,
        "platforms": worker.platforms.iter().map(platform).collect::<Vec<_>>(),
        "gcPolicy": policies.collect::<Vec<_>>(),
        "buildkitVersion": version(&worker.buildkit_version.clone().unwrap_or_default()),
        "cdiDevices": devices.collect::<Vec<_>>(),
    })
}

pub fn event(event: &BuildHistoryEvent) -> Value {
    json!({
        "type": i32::from(event_type(event)),
        "record": event.record.as_ref().map(record),
    })
}

/// Types that are not known count as `STARTED`, which is zero.
pub fn event_type(event: &BuildHistoryEvent) -> BuildHistoryEventType {
    BuildHistoryEventType::try_from(event.r#type).unwrap_or_default()
}

fn record(record: &BuildHistoryRecord) -> Value {
    let exporters: Vec<Value> = record
        .exporters
        .iter()
        .map(|exporter| json!({ "Type": exporter.r#type, "Attrs": exporter.attrs }))
        .collect();
    json!({
        "Ref": record.r#ref,
        "Frontend": record.frontend,
        "FrontendAttrs": record.frontend_attrs,
        "Exporters": exporters,
        "error": record.error.as_ref().map(|error| json!({ "code": error.code, "message": error.message })),
        "CreatedAt": record.created_at.map(timestamp),
        "CompletedAt": record.completed_at.map(timestamp),
        "logs": record.logs.as_ref().map(descriptor),
        "ExporterResponse": record.exporter_response,
        "Generation": record.generation,
        "trace": record.trace.as_ref().map(descriptor),
        "pinned": record.pinned,
        "numCachedSteps": record.num_cached_steps,
        "numTotalSteps": record.num_total_steps,
        "numCompletedSteps": record.num_completed_steps,
        "numWarnings": record.num_warnings,
    })
}

fn descriptor(descriptor: &Descriptor) -> Value {
    json!({
        "media_type": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
        "annotations": descriptor.annotations,
    })
}

fn timestamp(at: prost_types::Timestamp) -> Value {
    json!({ "seconds": at.seconds, "nanos": at.nanos })
}

/// Nothing for a time that no calendar has.
pub fn rfc3339(at: prost_types::Timestamp) -> Option<String> {
    let nanoseconds = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?.format(&Rfc3339).ok()
}
