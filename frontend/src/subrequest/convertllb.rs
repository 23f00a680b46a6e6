//! `frontend.convertllb`: the graph of the target, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use slipway_model::Digest;
use slipway_model::llb::json::{Form, operation};
use slipway_model::llb::marshal;

use super::json;
use super::{Question, answer_of};
use crate::build::FrontendResult;
use crate::error::Failure;
use crate::lower::{Request, Wanted, lower};

pub(super) async fn convert(question: &Question<'_>) -> Result<FrontendResult, Failure> {
    let (lowered, _) = lower(&Request { wants: Wanted::Graph, ..question.request() }).await;
    let definition = lowered?.definition?;
    let mut operations: BTreeMap<String, Value> = BTreeMap::new();
    for bytes in &definition.def {
        let op = marshal::unmarshal(bytes).unwrap_or_default();
        operations.insert(Digest::of(bytes).to_string(), operation(&op, Form::Proto));
    }
    let described: BTreeMap<&String, Value> =
        definition.metadata.iter().map(|(digest, metadata)| (digest, json::metadata(metadata))).collect();
    let answer = json!({"def": operations, "metadata": described, "source": json::source(&definition)});
    Ok(answer_of([("result.json", json::pretty(&answer)?), ("version", "0.1.0".to_owned())]))
}
