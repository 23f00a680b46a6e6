//! `frontend.targets`: the stages that can be built.

use serde_json::{Value, json};

use super::json::{Members, base64, location, pretty};
use super::{Question, answer_of, table};
use crate::build::FrontendResult;
use crate::dockerfile::Stage;
use crate::error::{Failure, parse_failure};

pub(super) async fn targets(question: &Question<'_>) -> Result<FrontendResult, Failure> {
    let entry = question.entry;
    let reading = question.request().read().await?;
    if let Some(error) = reading.errors.first() {
        return Err(parse_failure(error));
    }
    let dockerfile = reading.dockerfile;
    let last = dockerfile.stages.len().saturating_sub(1);
    let stages = || dockerfile.stages.iter().enumerate().map(|(index, stage)| (stage, index == last));
    let listed: Vec<Value> = stages().map(|(stage, is_default)| target(stage, is_default)).collect();
    // Go writes an absent list so.
    let listed = if listed.is_empty() { Value::Null } else { Value::Array(listed) };
    let json = json!({"targets": listed, "sources": [base64(&entry.data)]});
    let mut rows = "TARGET\tDESCRIPTION\n".to_owned();
    for (stage, is_default) in stages() {
        rows.push_str(&format!("{}\t{}\n", shown_name(stage, is_default), stage.doc));
    }
    Ok(answer_of([
        ("result.json", pretty(&json)?),
        ("result.txt", table::aligned(&rows, 1)),
        ("version", "1.0.0".to_owned()),
    ]))
}

fn target(stage: &Stage, is_default: bool) -> Value {
    Members::default()
        .text("name", &stage.name)
        .flag("default", is_default)
        .text("description", &stage.doc)
        .text("base", &stage.from.base)
        .text("platform", &stage.from.platform)
        .value("location", location(&stage.ranges))
        .into()
}

fn shown_name(stage: &Stage, is_default: bool) -> String {
    match (stage.name.as_str(), is_default) {
        ("", true) => "(default)".to_owned(),
        (name, true) => format!("{name} (default)"),
        (name, false) => name.to_owned(),
    }
}
