//! Which frontend a build gets: the one in the daemon (`dockerfile.v0`) or one in an image (`gateway.v0`).
//!
//! A Dockerfile may ask for another frontend than the one that was named, by `# syntax=` or the build argument
//! `BUILDKIT_SYNTAX`. The built-in frontend then hands over everything it was given, as the reference does.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use slipway_frontend::{Facts, OtherFrontend, Unsupported};
use slipway_model::llb::pb;

use super::Build;
use super::caches;
use super::failure::{Failure, detail};
use super::gateway::BuildGateway;
use crate::bridge::{Answer, Conversation};
use crate::engine::Engine;
use crate::gateway;
use crate::provenance::{Inquiry, Question};

/// A list of `slipway_frontend::Diagnostic`; clients of the reference pass over it.
const DIAGNOSTICS: &str = "slipway.Diagnostics+json";

/// Asks the frontend `name`; nothing of its answer is solved yet. `asking` is whoever wants to know.
pub(crate) async fn run(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    asking: &Conversation,
    name: &str,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<Answer, Failure> {
    if options.get("image-resolve-mode").is_some_and(|mode| mode == "pull") {
        build.scope.sources.always_ask();
    }
    // It may name caches for its graphs.
    build.imports.add(engine, build, caches::of_frontend(options)?).await?;
    let question = Question { frontend: name.to_owned(), options: options.clone(), inputs: inputs.clone() };
    let inquiry = asking.inquiry.below(question);
    let answer = answer(engine, build, asking, &inquiry, name, options, inputs).await?;
    for reference in answer.references() {
        inquiry.graph(reference);
    }
    asking.inquiry.answered(inquiry);
    Ok(answer)
}

async fn answer(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    asking: &Conversation,
    inquiry: &Arc<Inquiry>,
    name: &str,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<Answer, Failure> {
    match name {
        "dockerfile.v0" if !engine.frontends.dockerfile.enabled => {
            let message = "the frontend dockerfile.v0 is disabled on this daemon";
            Err(Failure::new(tonic::Code::PermissionDenied, message))
        }
        "dockerfile.v0" => dockerfile(engine, build, asking, inquiry, options, inputs).await,
        "gateway.v0" => gateway::run(engine, build, asking, inquiry.clone(), options, inputs).await,
        _ => Err(Failure::unsupported(format!("the frontend {name:?}"))),
    }
}

async fn dockerfile(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    asking: &Conversation,
    inquiry: &Arc<Inquiry>,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<Answer, Failure> {
    let gateway = built_in(engine, build, inquiry.clone());
    let opened = slipway_frontend::open(&gateway, options, inputs).await.map_err(failure)?;
    if let Some(other) = opened.other_frontend()
        && !engine.frontends.is_built_in(&other.image)
    {
        let OtherFrontend { image, command_line, .. } = &other;
        let mut options = options.clone();
        options.insert("source".into(), image.clone());
        options.insert("cmdline".into(), command_line.clone());
        let question =
            Question { frontend: "gateway.v0".into(), options: options.clone(), inputs: inputs.clone() };
        let below = inquiry.below(question);
        let answered = gateway::run(engine, build, asking, below.clone(), &options, inputs).await;
        let answered = answered.map_err(|failure| asked_for(failure, other))?;
        for reference in answered.references() {
            below.graph(reference);
        }
        inquiry.answered(below);
        return Ok(answered);
    }
    opened.build().await.map(Answer::from).map_err(failure)
}

pub(crate) fn built_in(engine: &Arc<Engine>, build: &Arc<Build>, inquiry: Arc<Inquiry>) -> BuildGateway {
    let build_platforms = engine.worker.platforms.all().to_vec();
    let facts = Facts { session_id: build.session.clone(), build_platforms };
    BuildGateway { engine: engine.clone(), build: build.clone(), inquiry, facts }
}

/// A failure that has no place yet gets that of the line which asked for the frontend.
fn asked_for(failure: Failure, other: OtherFrontend) -> Failure {
    if failure.has_source() {
        return failure;
    }
    match other.source {
        Some(source) => failure.with_source(source.info, source.ranges),
        None => failure.context(format!("failed with BUILDKIT_SYNTAX = {}", other.command_line)),
    }
}

/// With all that clients may want to know: places, other errors of the file, what to try instead.
pub(crate) fn failure(error: slipway_frontend::Error) -> Failure {
    let code = match error.unsupported {
        Some(Unsupported::Capability(_)) => tonic::Code::Unimplemented,
        _ => tonic::Code::Unknown,
    };
    let mut details: Vec<_> = match &error.unsupported {
        Some(Unsupported::Request(id)) => {
            vec![detail("errdefs.Subrequest+json", json!({ "name": id }).to_string())]
        }
        Some(Unsupported::Capability(name)) => {
            vec![detail("errdefs.FrontendCap+json", json!({ "name": name }).to_string())]
        }
        None => Vec::new(),
    };
    details.push(detail(DIAGNOSTICS, json!(error.diagnostics).to_string()));
    let failure = Failure::new(code, error.message).with_details(details);
    error.sources.into_iter().fold(failure, |failure, source| failure.with_source(source.info, source.ranges))
}
