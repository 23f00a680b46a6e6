//! `Solve`: a definition, or another frontend, becomes references.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use futures::future::try_join_all;
use slipway_proto::gateway::{
    Attestations, Ref, RefMap, RefMapDeprecated, Result as WireResult, SolveRequest, SolveResponse, result,
};

use super::answer::{Answer, Trees};
use super::attestation::Told;
use super::refs::Reference;
use super::{Guest, check_definition};
use crate::build::caches;
use crate::build::failure::Failure;
use crate::build::frontend;
use crate::build::solve::Read;
use crate::build::sources;
use crate::engine::Engine;

pub(super) async fn solve(
    engine: &Arc<Engine>,
    guest: &Guest,
    mut request: SolveRequest,
) -> Result<SolveResponse, Failure> {
    let rules = sources::rules(std::mem::take(&mut request.source_policies))?;
    let imports = request.cache_imports.iter().map(|entry| (entry.r#type.as_str(), &entry.attrs));
    let imports = imports.map(|(kind, options)| caches::entry(kind, options)).collect::<Result<_, _>>()?;
    guest.build.imports.add(engine, &guest.build, imports).await?;
    let answer = match request.definition.take().filter(|definition| !definition.def.is_empty()) {
        Some(_) if !request.frontend.is_empty() => {
            return Err(Failure::invalid("cannot solve with both a definition and a frontend"));
        }
        Some(definition) => {
            check_definition(engine, &guest.build, &definition)?;
            Answer::of(Reference::with_rules(definition, rules))
        }
        None if request.frontend.is_empty() => Answer::of(None),
        None if !rules.is_empty() => {
            return Err(Failure::unsupported("a source policy for another frontend"));
        }
        None => from_frontend(engine, guest, &request).await?,
    };
    for reference in answer.references() {
        guest.conversation.inquiry.graph(reference);
        // Somebody may be given it as an input.
        if let Some(inquiry) = guest.conversation.inquiry.maker_of(reference) {
            engine.producers.add(&reference.definition, &inquiry);
        }
    }
    if matches!(answer.trees, Trees::Each(_)) && !request.allow_result_return {
        return Err(Failure::invalid("the result has several references, which the request does not allow"));
    }
    if request.evaluate {
        try_join_all(answer.references().map(|reference| reference.built(engine, &guest.build, Read::Never)))
            .await?;
    }
    if request.r#final {
        finish(guest, answer.clone(), &request.exporter_attr)?;
    }
    respond(guest, answer, &request)
}

async fn from_frontend(
    engine: &Arc<Engine>,
    guest: &Guest,
    request: &SolveRequest,
) -> Result<Answer, Failure> {
    let (name, options, inputs) = (&request.frontend, &request.frontend_opt, &request.frontend_inputs);
    for definition in inputs.values() {
        check_definition(engine, &guest.build, definition)?;
    }
    // Boxed, since a frontend may ask for a frontend.
    Box::pin(frontend::run(engine, &guest.build, &guest.conversation, name, options, inputs)).await
}

/// The oldest frontends return with their last question.
fn finish(guest: &Guest, mut answer: Answer, attributes: &[u8]) -> Result<(), Failure> {
    let invalid =
        |error: &dyn std::fmt::Display| Failure::invalid(format!("ExporterAttr is not valid: {error}"));
    let attributes: BTreeMap<String, String> =
        if attributes.is_empty() { Ok(BTreeMap::new()) } else { serde_json::from_slice(attributes) }
            .map_err(|error| invalid(&error))?;
    for (key, value) in attributes {
        let value =
            base64::engine::general_purpose::STANDARD.decode(value).map_err(|error| invalid(&error))?;
        answer.metadata.entry(key).or_insert_with(|| Bytes::from(value));
    }
    guest.conversation.answer(Ok(answer))
}

fn respond(guest: &Guest, answer: Answer, request: &SolveRequest) -> Result<SolveResponse, Failure> {
    let name = |reference: Option<Arc<Reference>>| {
        let def = reference.as_ref().map(|reference| reference.definition.clone());
        Ok::<_, Failure>(Ref { id: guest.conversation.refs.name(reference)?, def })
    };
    let mut default = String::new();
    let named = match answer.trees {
        Trees::One(reference) => {
            let named = name(reference)?;
            default.clone_from(&named.id);
            match request.allow_result_array_ref {
                true => result::Result::Ref(named),
                false => result::Result::RefDeprecated(named.id),
            }
        }
        Trees::Each(trees) => {
            let named = trees.into_iter().map(|(key, reference)| Ok((key, name(reference)?)));
            let refs = named.collect::<Result<BTreeMap<_, _>, Failure>>()?;
            match request.allow_result_array_ref {
                true => result::Result::Refs(RefMap { refs }),
                false => {
                    let refs = refs.into_iter().map(|(key, reference)| (key, reference.id)).collect();
                    result::Result::RefsDeprecated(RefMapDeprecated { refs })
                }
            }
        }
    };
    let told = |(platform, told): (String, Vec<Told>)| {
        let attestation = told.into_iter().map(|told| told.respond(name)).collect::<Result<_, _>>()?;
        Ok((platform, Attestations { attestation }))
    };
    let attestations = answer.attestations.into_iter().map(told).collect::<Result<_, Failure>>()?;
    let result = WireResult { result: Some(named), metadata: answer.metadata, attestations };
    let r#ref = if request.allow_result_return { String::new() } else { default };
    Ok(SolveResponse { r#ref, result: Some(result) })
}
