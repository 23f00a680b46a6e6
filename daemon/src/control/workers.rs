//! What the worker says about itself.

use slipway_proto::control::types::WorkerRecord;
use slipway_proto::control::{ListWorkersRequest, ListWorkersResponse};

use crate::engine::Engine;

/// The one worker, unless the filter asks for another id.
pub(crate) fn list(engine: &Engine, request: &ListWorkersRequest) -> ListWorkersResponse {
    let matches = |filter: &String| filter.strip_prefix("id==").is_none_or(|id| id == engine.worker_id);
    let record = request.filter.iter().all(matches).then(|| record(engine));
    ListWorkersResponse { record: record.into_iter().collect() }
}

fn record(engine: &Engine) -> WorkerRecord {
    let label = |key: &str, value: &str| (format!("org.mobyproject.buildkit.worker.{key}"), value.to_owned());
    WorkerRecord {
        id: engine.worker_id.clone(),
        labels: [
            label("executor", "oci"),
            label("hostname", &rustix::system::uname().nodename().to_string_lossy()),
            label("network", "host"),
            label("oci.process-mode", "sandbox"),
            label("snapshotter", engine.store.snapshotter()),
        ]
        .into_iter()
        .chain(engine.labels.clone())
        .collect(),
        platforms: engine.worker.platforms.iter().map(Into::into).collect(),
        buildkit_version: Some(super::info::version()),
        ..WorkerRecord::default()
    }
}
