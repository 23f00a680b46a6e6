//! What the frontend did against what was recorded.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use slipway_frontend::{Error, FrontendResult};
use slipway_model::Digest;
use slipway_model::llb::{marshal, pb};

use super::Report;
use super::case::{Case, Outcome};

pub(super) fn compare(case: &Case, outcome: &Outcome, defaults: &Value, report: &mut Report) {
    if let Some(expected) = case.recorded("error.json") {
        let difference = match &outcome.result {
            // The reference hands the build to the image, which holds itself; this frontend goes on.
            Ok(_) if case.recorded("forward.json").is_some() => None,
            Err(error) => error_difference(error, &expected),
            Ok(_) => Some(format!("no error, expected {}", expected["message"])),
        };
        report.errors.add(difference.is_none());
        report.differences.extend(difference.map(|difference| format!("{}: {difference}", case.name)));
        return;
    }
    let result = match &outcome.result {
        Ok(result) => result,
        Err(error) => {
            report.llb.add(false);
            report.image.add(false);
            report.differences.push(format!("{}: fails: {}", case.name, error.message));
            return;
        }
    };
    let solved = presolve_difference(case, &outcome.solved, defaults, result);
    let llb = llb_difference(case, result).or(solved);
    let image = image_difference(case, result);
    report.llb.add(llb.is_none());
    report.image.add(image.is_none());
    let both = [llb, image].into_iter().flatten();
    report.differences.extend(both.map(|difference| format!("{}: {difference}", case.name)));
}

fn error_difference(error: &Error, expected: &Value) -> Option<String> {
    let place = |position: &Option<pb::Position>| {
        let position = position.unwrap_or_default();
        json!([position.line, position.character])
    };
    let source = |source: &slipway_frontend::ErrorSource| {
        let ranges: Vec<Value> =
            source.ranges.iter().map(|range| json!([place(&range.start), place(&range.end)])).collect();
        json!({"filename": source.info.filename, "language": source.info.language, "ranges": ranges})
    };
    let sources: Vec<Value> = error.sources.iter().map(source).collect();
    let wanted =
        expected.get("sources").cloned().filter(|sources| !sources.is_null()).unwrap_or_else(|| json!([]));
    differ("error", &json!(error.message), &expected["message"])
        .or_else(|| differ("error sources", &normalized(json!(sources)), &normalized(wanted)))
}

/// An empty list and none are one.
fn normalized(mut sources: Value) -> Value {
    for source in sources.as_array_mut().into_iter().flatten() {
        if source["ranges"].is_null() {
            source["ranges"] = json!([]);
        }
    }
    sources
}

fn suffixes(result: &FrontendResult) -> Vec<String> {
    if !result.multi_platform {
        return vec![String::new()];
    }
    result.outputs.iter().map(|output| format!(".{}", output.id.replace('/', "_"))).collect()
}

fn llb_difference(case: &Case, result: &FrontendResult) -> Option<String> {
    for (output, suffix) in result.outputs.iter().zip(suffixes(result)) {
        let file = format!("llb{suffix}.json");
        let Some(expected) = case.recorded(&file) else { return Some(format!("{file} is not recorded")) };
        if let Some(difference) = definition_difference(&output.definition, &expected) {
            return Some(difference);
        }
    }
    None
}

pub(super) fn definition_difference(ours: &pb::Definition, expected: &Value) -> Option<String> {
    let expected: Vec<&Value> = expected.as_array().into_iter().flatten().collect();
    for (index, (bytes, theirs)) in ours.def.iter().zip(&expected).enumerate() {
        let raw = theirs["raw"].as_str().and_then(|raw| STANDARD.decode(raw).ok()).unwrap_or_default();
        if **bytes != raw {
            return Some(format!(
                "operation {index}\n    ours   {}\n    theirs {}",
                shown(bytes),
                shown(&raw)
            ));
        }
    }
    if ours.def.len() != expected.len() {
        return Some(format!("{} operations, expected {}", ours.def.len(), expected.len()));
    }
    let mut groups = HashMap::new();
    for (index, (bytes, theirs)) in ours.def.iter().zip(&expected).enumerate() {
        let digest = Digest::of(bytes).to_string();
        let metadata = ours.metadata.get(&digest).cloned().unwrap_or_default();
        let difference =
            differ("metadata", &metadata_json(&metadata, &mut groups), &plain_metadata(&theirs["metadata"]))
                .or_else(|| {
                    differ("locations", &locations_json(ours, &digest), &plain(&theirs["locations"]))
                });
        if let Some(difference) = difference {
            return Some(format!("operation {index} {difference}"));
        }
    }
    None
}

fn shown(bytes: &[u8]) -> String {
    marshal::unmarshal(bytes).map_or_else(|| "bytes that are no operation".to_owned(), |op| format!("{op:?}"))
}

/// Recorded groups are named in the order in which they are met.
fn metadata_json(metadata: &pb::OpMetadata, groups: &mut HashMap<String, usize>) -> Value {
    let mut json = json!({});
    if metadata.ignore_cache {
        json["ignore_cache"] = true.into();
    }
    if !metadata.description.is_empty() {
        json["description"] = json!(metadata.description);
    }
    if !metadata.caps.is_empty() {
        json["caps"] = json!(metadata.caps);
    }
    if let Some(group) = &metadata.progress_group {
        let next = groups.len() + 1;
        let number = *groups.entry(group.id.clone()).or_insert(next);
        json["progress_group"] = json!({"id": format!("pg-{number}"), "name": group.name});
        if group.weak {
            json["progress_group"]["weak"] = true.into();
        }
    }
    if let Some(resources) = &metadata.linux_resources {
        let mut listed = json!({});
        let numbers = [
            ("memory", i128::from(resources.memory)),
            ("memorySwap", i128::from(resources.memory_swap)),
            ("cpuShares", i128::from(resources.cpu_shares)),
            ("cpuPeriod", i128::from(resources.cpu_period)),
            ("cpuQuota", i128::from(resources.cpu_quota)),
        ];
        for (key, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
            listed[key] = json!(i64::try_from(number).unwrap_or(i64::MAX));
        }
        for (key, text) in [("cpusetCpus", &resources.cpuset_cpus), ("cpusetMems", &resources.cpuset_mems)] {
            if !text.is_empty() {
                listed[key] = json!(text);
            }
        }
        json["linux_resources"] = listed;
    }
    json
}

fn plain_metadata(recorded: &Value) -> Value {
    if recorded.is_null() { json!({}) } else { recorded.clone() }
}

fn plain(recorded: &Value) -> Value {
    if recorded.is_null() { json!([]) } else { recorded.clone() }
}

fn locations_json(definition: &pb::Definition, digest: &str) -> Value {
    let Some(source) = &definition.source else { return json!([]) };
    let Some(locations) = source.locations.get(digest) else { return json!([]) };
    let position = |position: Option<pb::Position>| {
        let position = position.unwrap_or_default();
        json!([position.line, position.character])
    };
    let location = |location: &pb::Location| {
        let ranges: Vec<Value> =
            location.ranges.iter().map(|range| json!([position(range.start), position(range.end)])).collect();
        json!({"source": location.source_index, "ranges": ranges})
    };
    locations.locations.iter().map(location).collect()
}

fn image_difference(case: &Case, result: &FrontendResult) -> Option<String> {
    for (output, suffix) in result.outputs.iter().zip(suffixes(result)) {
        let expected = case.recorded(&format!("image{suffix}.json")).unwrap_or_default();
        let ours: Value = serde_json::from_slice(&output.config).unwrap_or_default();
        if let Some(difference) = differ("image", &ours, &expected) {
            return Some(difference);
        }
        if let Some(expected) = case.recorded(&format!("baseimage{suffix}.json")) {
            let ours = output.base_config.as_ref().and_then(|config| serde_json::from_slice(config).ok());
            if let Some(difference) = differ("base image", &ours.unwrap_or_default(), &expected) {
                return Some(difference);
            }
        }
    }
    metadata_difference(case, result)
}

fn metadata_difference(case: &Case, result: &FrontendResult) -> Option<String> {
    let text = |key: &str| result.metadata.get(key).map(|value| String::from_utf8_lossy(value).into_owned());
    if let Some(epoch) = case.recorded_text("epoch.txt")
        && text("source.date.epoch").as_deref() != Some(epoch.trim())
    {
        return Some(format!("epoch: ours {:?}, theirs {epoch:?}", text("source.date.epoch")));
    }
    let expected = case.recorded("result.json")?;
    let keys: Vec<&String> = result.metadata.keys().collect();
    let platforms = text("refs.platforms").and_then(|text| serde_json::from_str::<Value>(&text).ok());
    differ("metadata", &json!(keys), &expected["metadata_keys"])
        .or_else(|| differ("platforms", &json!(platforms), &expected["platforms"]))
}

/// Definitions that were solved before the result, whatever their order.
fn presolve_difference(
    case: &Case,
    solved: &[pb::Definition],
    defaults: &Value,
    result: &FrontendResult,
) -> Option<String> {
    // Recorded for these only.
    if !case.name.starts_with("a-") || result.outputs.len() != 1 {
        return None;
    }
    let expected = case.recorded("presolves.json").unwrap_or_else(|| defaults.clone());
    // The reference solves some twice; what is asked for several times is recorded once here.
    let mut theirs: Vec<Value> = Vec::new();
    for solve in expected.as_array().into_iter().flatten() {
        if !theirs.contains(&solve["ops"]) {
            theirs.push(solve["ops"].clone());
        }
    }
    for definition in solved {
        match theirs.iter().position(|ops| definition_difference(definition, ops).is_none()) {
            Some(at) => {
                theirs.remove(at);
            }
            None => {
                let difference = theirs.first().and_then(|ops| definition_difference(definition, ops));
                return Some(format!("solve before the result: {}", difference.unwrap_or_default()));
            }
        }
    }
    (!theirs.is_empty()).then(|| format!("{} solves before the result are missing", theirs.len()))
}

/// Short: the first member that differs.
pub(super) fn differ(what: &str, ours: &Value, theirs: &Value) -> Option<String> {
    if ours == theirs {
        return None;
    }
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
            keys.filter_map(|key| {
                let (ours, theirs) = (ours.get(key), theirs.get(key));
                differ(&format!("{what}.{key}"), ours.unwrap_or(&Value::Null), theirs.unwrap_or(&Value::Null))
            })
            .next()
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => ours
            .iter()
            .zip(theirs)
            .enumerate()
            .find_map(|(index, (ours, theirs))| differ(&format!("{what}[{index}]"), ours, theirs)),
        _ => Some(format!("{what}\n    ours   {ours}\n    theirs {theirs}")),
    }
}
