//! `DiskUsage`: what the store holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use slipway_proto::control::{DiskUsageRequest, DiskUsageResponse, UsageRecord};
use tonic::Status;

use crate::engine::Engine;

pub(super) async fn disk_usage(
    engine: &Arc<Engine>,
    request: DiskUsageRequest,
) -> Result<DiskUsageResponse, Status> {
    let filters = request.filter;
    check_filters(&filters)?;
    let store = engine.store.clone();
    let usage = tokio::task::spawn_blocking(move || store.usage(&filters));
    let records = usage
        .await
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| Status::internal(error.to_string()))?;
    let cut_off = u64::try_from(request.age_limit)
        .ok()
        .filter(|nanoseconds| *nanoseconds > 0)
        .and_then(|nanoseconds| SystemTime::now().checked_sub(Duration::from_nanos(nanoseconds)));
    // What was used after it is younger than the limit.
    let is_young = |record: &slipway_store::UsageRecord| {
        cut_off.zip(record.last_used).is_some_and(|(cut, used)| used > cut)
    };
    let records = records.into_iter().filter(|record| !is_young(record));
    Ok(DiskUsageResponse { record: records.map(wire_record).collect() })
}

pub(super) fn check_filters(filters: &[String]) -> Result<(), Status> {
    let parsed = slipway_store::Filter::parse_all(filters);
    parsed.map(drop).map_err(|error| Status::invalid_argument(error.to_string()))
}

pub(super) fn wire_record(record: slipway_store::UsageRecord) -> UsageRecord {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let parents: Vec<String> = record.parents.iter().map(ToString::to_string).collect();
    UsageRecord {
        id: record.id.to_string(),
        mutable: record.mutable,
        in_use: record.in_use,
        size: count(record.size),
        parent: parents.first().cloned().unwrap_or_default(),
        created_at: Some(record.created.into()),
        last_used_at: record.last_used.map(Into::into),
        usage_count: count(record.usage_count),
        description: record.description,
        record_type: record.record_type.to_string(),
        shared: record.shared,
        parents,
    }
}
