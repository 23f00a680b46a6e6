//! `Solve`: a definition, or a frontend that runs here, becomes references.

use std::sync::Arc;

use slipway_proto::gateway::{Ref, RefMap, Result as WireResult, SolveRequest, SolveResponse, result};

use super::check_definition;
use super::refs::value;
use crate::build::failure::Failure;
use crate::build::{Build, frontend};
use crate::engine::Engine;

pub(super) async fn solve(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    mut request: SolveRequest,
) -> Result<SolveResponse, Failure> {
    if !request.cache_imports.is_empty() {
        return Err(Failure::unsupported("importing a cache"));
    }
    if !request.source_policies.iter().all(|policy| policy.rules.is_empty()) {
        return Err(Failure::unsupported("a source policy"));
    }
    let evaluate = request.evaluate;
    let result = match request.definition.take().filter(|definition| !definition.def.is_empty()) {
        Some(_) if !request.frontend.is_empty() => {
            return Err(Failure::invalid("cannot solve with both a definition and a frontend"));
        }
        Some(definition) => {
            check_definition(engine, build, &definition)?;
            single(build.refs.add(definition)?)
        }
        None if request.frontend.is_empty() => single(String::new()),
        None => from_frontend(engine, build, &request).await?,
    };
    if evaluate {
        for id in ids(&result) {
            value(engine, build, id).await?;
        }
    }
    Ok(SolveResponse { r#ref: String::new(), result: Some(result) })
}

async fn from_frontend(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    request: &SolveRequest,
) -> Result<WireResult, Failure> {
    let (options, inputs) = (&request.frontend_opt, &request.frontend_inputs);
    let made = frontend::run(engine, build, &request.frontend, options, inputs).await?;
    let mut result = WireResult { metadata: made.metadata, ..WireResult::default() };
    if !made.multi_platform
        && let [output] = &made.outputs[..]
    {
        result.result = single(build.refs.add(output.definition.clone())?).result;
        return Ok(result);
    }
    let mut refs = RefMap::default();
    for output in made.outputs {
        let id = build.refs.add(output.definition)?;
        refs.refs.insert(output.id, Ref { id, def: None });
    }
    result.result = Some(result::Result::Refs(refs));
    Ok(result)
}

fn single(id: String) -> WireResult {
    WireResult { result: Some(result::Result::Ref(Ref { id, def: None })), ..WireResult::default() }
}

fn ids(result: &WireResult) -> Vec<&str> {
    match &result.result {
        Some(result::Result::Ref(reference)) => vec![&reference.id],
        Some(result::Result::Refs(refs)) => {
            refs.refs.values().map(|reference| reference.id.as_str()).collect()
        }
        _ => Vec::new(),
    }
}
