//! JSON as Go's `encoding/json` and `protojson` write it: members that say nothing are left out, and
//! what HTML could trip over is escaped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use slipway_model::Digest;
pub(super) use slipway_model::llb::json::Members;
use slipway_model::llb::json::location as wire_location;
use slipway_model::llb::pb;

use crate::dockerfile::Range;
use crate::error::wire_ranges;

/// Indented by two spaces.
pub(super) fn pretty(value: &Value) -> Result<String, serde_json::Error> {
    let mut json = serde_json::to_string_pretty(value)?;
    for (plain, escaped) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        if json.contains(plain) {
            json = json.replace(plain, escaped);
        }
    }
    Ok(json)
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn location(ranges: &[Range]) -> Value {
    wire_location(&pb::Location { source_index: 0, ranges: wire_ranges(ranges) })
}

pub(super) fn source_info(info: &pb::SourceInfo) -> Value {
    Members::default()
        .text("filename", &info.filename)
        .text("data", &base64(&info.data))
        .value("definition", info.definition.as_ref().map_or(Value::Null, definition))
        .text("language", &info.language)
        .into()
}

/// The source map of a definition. The reference lists every operation in it, most without places.
pub(super) fn source(definition: &pb::Definition) -> Value {
    let mut locations = Map::new();
    let operations = definition.def.split_last().map(|(_, operations)| operations).unwrap_or_default();
    let mut digests: Vec<String> = operations.iter().map(|op| Digest::of(op).to_string()).collect();
    digests.sort_unstable();
    let source = definition.source.as_ref();
    for digest in digests {
        let places = source.and_then(|source| source.locations.get(&digest));
        let places = places.map(|places| places.locations.as_slice()).unwrap_or_default();
        locations.insert(digest, Members::default().list("locations", places, wire_location).into());
    }
    let infos = source.map(|source| source.infos.as_slice()).unwrap_or_default();
    let members = Members::default();
    let members = if locations.is_empty() { members } else { members.value("locations", locations) };
    members.list("infos", infos, source_info).into()
}

fn definition(definition: &pb::Definition) -> Value {
    Members::default()
        .list("def", &definition.def, |op| base64(op).into())
        .map("metadata", &definition.metadata, metadata)
        .value("Source", source(definition))
        .into()
}

pub(super) fn metadata(metadata: &pb::OpMetadata) -> Value {
    let group = metadata.progress_group.as_ref().map(|group| {
        Members::default().text("id", &group.id).text("name", &group.name).flag("weak", group.weak)
    });
    let resources = metadata.linux_resources.as_ref().map(|resources| {
        Members::default()
            .number("memory", resources.memory)
            .number("memorySwap", resources.memory_swap)
            .number("cpuShares", i64::try_from(resources.cpu_shares).unwrap_or(i64::MAX))
            .number("cpuPeriod", i64::try_from(resources.cpu_period).unwrap_or(i64::MAX))
            .number("cpuQuota", resources.cpu_quota)
            .text("cpusetCpus", &resources.cpuset_cpus)
            .text("cpusetMems", &resources.cpuset_mems)
    });
    Members::default()
        .flag("ignore_cache", metadata.ignore_cache)
        .map("description", &metadata.description, |text| text.as_str().into())
        .map("caps", &metadata.caps, |is_needed| (*is_needed).into())
        .value("progress_group", group.map_or(Value::Null, Value::from))
        .value("linux_resources", resources.map_or(Value::Null, Value::from))
        .into()
}
