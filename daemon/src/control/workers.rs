//! What the worker says about itself.

use slipway_proto::control::types::{CdiDevice, GcPolicy, WorkerRecord};
use slipway_proto::control::{ListWorkersRequest, ListWorkersResponse};
use slipway_store::PruneOptions;
use slipway_worker::devices::DeviceRecord;

use tonic::Status;

use crate::engine::Engine;

/// The one worker, unless all filters ask for another.
pub(crate) fn list(engine: &Engine, request: &ListWorkersRequest) -> Result<ListWorkersResponse, Status> {
    let record = record(engine);
    let mut wanted = request.filter.is_empty();
    for filter in &request.filter {
        wanted |= matches(filter, &record)?;
    }
    Ok(ListWorkersResponse { record: if wanted { vec![record] } else { Vec::new() } })
}

/// `FIELD==VALUE`, `FIELD!=VALUE` or `FIELD` (it is there), joined by commas; fields are `id` and `labels.NAME`,
/// whose name may stand in quotes.
fn matches(filter: &str, record: &WorkerRecord) -> Result<bool, Status> {
    let mut all = true;
    for selector in filter.split(',').filter(|selector| !selector.is_empty()) {
        let (field, wanted) = match (selector.split_once("!="), selector.split_once("==")) {
            (Some((field, value)), _) => (field, Some((value, false))),
            (None, Some((field, value))) => (field, Some((value, true))),
            (None, None) => (selector, None),
        };
        let value = match field.strip_prefix("labels.") {
            Some(label) => record.labels.get(label.trim_matches('"')),
            None if field == "id" => Some(&record.id),
            None => {
                return Err(Status::invalid_argument(format!(
                    "the filter {selector:?} is not supported: use id==ID or labels.NAME==VALUE"
                )));
            }
        };
        all &= match wanted {
            None => value.is_some_and(|value| !value.is_empty()),
            Some((wanted, equal)) => (value.map(String::as_str) == Some(wanted.trim_matches('"'))) == equal,
        };
    }
    Ok(all)
}

pub(crate) fn record(engine: &Engine) -> WorkerRecord {
    let label = |key: &str, value: &str| (format!("org.mobyproject.buildkit.worker.{key}"), value.to_owned());
    WorkerRecord {
        id: engine.worker_id.clone(),
        labels: [
            label("hostname", &rustix::system::uname().nodename().to_string_lossy()),
            label("network", engine.network_label),
        ]
        .into_iter()
        .chain(engine.worker_labels.iter().map(|(key, value)| label(key, value)))
        .chain(engine.labels.clone())
        .collect(),
        platforms: engine.worker.platforms.all().iter().map(Into::into).collect(),
        gc_policy: engine.collector.rules().iter().map(policy).collect(),
        buildkit_version: Some(super::info::version()),
        cdi_devices: engine.worker.devices.list().into_iter().map(device).collect(),
    }
}

fn device(record: DeviceRecord) -> CdiDevice {
    CdiDevice {
        name: record.name,
        auto_allow: record.auto_allowed,
        annotations: record.annotations.into_iter().collect(),
        on_demand: false,
    }
}

fn policy(rule: &PruneOptions) -> GcPolicy {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    GcPolicy {
        all: rule.all,
        filters: rule.filters.clone(),
        keep_duration: i64::try_from(rule.keep_duration.as_nanos()).unwrap_or(i64::MAX),
        reserved_space: count(rule.reserved_space),
        max_used_space: count(rule.max_used_space),
        min_free_space: count(rule.min_free_space),
    }
}
