//! `DiskUsage`: what the store holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use slipway_proto::control::{DiskUsageRequest, DiskUsageResponse, UsageRecord};
use tonic::{Response, Status};

use crate::engine::Engine;

/// Metadata of the answer: the bytes below the root that no record tells of, such as the database. With them, the
/// records are what `du` counts.
const OVERHEAD: &str = "slipway-overhead";

pub(super) async fn disk_usage(
    engine: &Arc<Engine>,
    request: DiskUsageRequest,
) -> Result<Response<DiskUsageResponse>, Status> {
    let filters = request.filter;
    check_filters(&filters)?;
    let store = engine.store.clone();
    let usage = tokio::task::spawn_blocking(move || Ok((store.usage(&filters)?, store.overhead()?)));
    let (mut records, overhead) = usage
        .await
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error: slipway_store::Error| Status::internal(slipway_solver::with_causes(&error)))?;
    if let Ok(nanoseconds @ 1..) = u64::try_from(request.age_limit) {
        let before = SystemTime::now() - Duration::from_nanos(nanoseconds);
        records.retain(|record| record.last_used.is_none_or(|used| used <= before));
    }
    let record = records.into_iter().map(wire_record).collect();
    let mut response = Response::new(DiskUsageResponse { record });
    response.metadata_mut().insert(OVERHEAD, overhead.into());
    Ok(response)
}

pub(super) fn check_filters(filters: &[String]) -> Result<(), Status> {
    let parsed = slipway_store::Filter::parse_all(filters);
    parsed.map(drop).map_err(|error| Status::invalid_argument(error.to_string()))
}

pub(super) fn wire_record(record: slipway_store::UsageRecord) -> UsageRecord {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    UsageRecord {
        id: record.id.to_string(),
        mutable: record.mutable,
        in_use: record.in_use,
        size: count(record.size),
        // Older than `parents`; nobody fills it any more.
        parent: String::new(),
        created_at: Some(record.created.into()),
        last_used_at: record.last_used.map(Into::into),
        usage_count: count(record.usage_count),
        description: record.description,
        record_type: record.record_type.to_string(),
        shared: record.shared,
        parents: record.parents.iter().map(ToString::to_string).collect(),
    }
}
