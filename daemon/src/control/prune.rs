//! `Prune`: removes what nothing needs, within the bounds that the caller gives.

use std::sync::Arc;
use std::time::Duration;

use slipway_proto::control::{PruneRequest, UsageRecord};
use slipway_store::PruneOptions;
use tonic::Status;

use super::Answers;
use super::disk_usage::{check_filters, wire_record};
use crate::engine::Engine;

pub(super) async fn prune(
    engine: &Arc<Engine>,
    request: PruneRequest,
) -> Result<Answers<UsageRecord>, Status> {
    check_filters(&request.filter)?;
    let options = PruneOptions {
        all: request.all,
        filters: request.filter,
        keep_duration: Duration::from_nanos(positive(request.keep_duration)),
        reserved_space: positive(request.reserved_space),
        max_used_space: positive(request.max_used_space),
        min_free_space: positive(request.min_free_space),
    };
    let engine = engine.clone();
    let work = tokio::task::spawn_blocking(move || {
        let removed = engine.store.prune(&options)?;
        engine.store.flush()?;
        Ok::<_, slipway_store::Error>(removed)
    });
    let removed = work
        .await
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(Box::pin(futures::stream::iter(removed.into_iter().map(|record| Ok(wire_record(record))))))
}

/// Zero means that the bound is not set.
fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
