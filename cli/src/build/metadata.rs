//! What is written down after a build: `--iidfile`, `--metadata-file`, the digest of `--quiet`.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use slipway_proto::control::SolveResponse;

use crate::arguments::{BuildArguments, ProgressMode};
use crate::error::Failure;

const DIGEST: &str = "containerimage.digest";
const CONFIG_DIGEST: &str = "containerimage.config.digest";

pub fn write(arguments: &BuildArguments, response: &SolveResponse) -> Result<(), Failure> {
    let facts = &response.exporter_response;
    let digest = facts.get(DIGEST).or_else(|| facts.get(CONFIG_DIGEST));
    if let Some(path) = &arguments.iidfile {
        let digest = digest
            .ok_or_else(|| Failure::new("--iidfile: the chosen output makes no image, so it has no id"))?;
        write_file(path, digest)?;
    }
    if let Some(path) = &arguments.metadata_file {
        write_facts(path, facts)?;
    }
    if (arguments.quiet || arguments.progress == ProgressMode::Quiet)
        && let Some(digest) = digest
    {
        println!("{digest}");
    }
    Ok(())
}

/// `--metadata-file`.
pub fn write_facts(path: &Path, facts: &BTreeMap<String, String>) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(&decoded(facts))
        .map_err(|error| Failure::new(format!("cannot write the metadata: {error}")))?;
    write_file(path, &json)
}

/// Values that are JSON in base64 are shown as what they are, as buildx does.
fn decoded(facts: &BTreeMap<String, String>) -> BTreeMap<&str, serde_json::Value> {
    let value = |text: &String| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        (json.is_object() || json.is_array()).then_some(json)
    };
    facts
        .iter()
        .map(|(key, text)| (key.as_str(), value(text).unwrap_or_else(|| text.clone().into())))
        .collect()
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}
