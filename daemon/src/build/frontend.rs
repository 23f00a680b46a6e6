//! Frontends that are part of the daemon: `dockerfile.v0`.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use serde_json::json;
use slipway_frontend::{Facts, FrontendResult, PlatformResult, Unsupported};
use slipway_model::llb::pb;

use super::Build;
use super::failure::{Failure, detail};
use super::gateway::BuildGateway;
use super::result::{BuildResult, PlatformOutput};
use super::solve::solve_definition;
use crate::engine::Engine;

/// A list of `slipway_frontend::Diagnostic`; clients of the reference pass over it.
const DIAGNOSTICS: &str = "slipway.Diagnostics+json";

/// Runs the frontend `name` and solves what it makes, all platforms at once.
pub(crate) async fn solve(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    name: &str,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<BuildResult, Failure> {
    let made = run(engine, build, name, options, inputs).await?;
    let outputs = try_join_all(made.outputs.into_iter().map(|output| finish(engine, build, output))).await?;
    Ok(BuildResult { outputs, multi_platform: made.multi_platform, metadata: made.metadata })
}

/// Runs the frontend alone.
pub(crate) async fn run(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    name: &str,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<FrontendResult, Failure> {
    if name != "dockerfile.v0" {
        return Err(Failure::unsupported(format!("the frontend {name:?}")));
    }
    let facts = Facts { session_id: build.session.clone(), build_platforms: engine.worker.platforms.clone() };
    let gateway = BuildGateway { engine: engine.clone(), build: build.clone(), facts };
    slipway_frontend::build(&gateway, options, inputs).await.map_err(failure)
}

/// With all that clients may want to know: places, other errors of the file, what to try instead.
fn failure(error: slipway_frontend::Error) -> Failure {
    let code = match error.unsupported {
        Some(Unsupported::Capability(_)) => tonic::Code::Unimplemented,
        _ => tonic::Code::Unknown,
    };
    let mut details: Vec<_> = match &error.unsupported {
        Some(Unsupported::Request(id)) => vec![detail("errdefs.Subrequest+json", &json!({ "name": id }))],
        Some(Unsupported::Capability(name)) => {
            vec![detail("errdefs.FrontendCap+json", &json!({ "name": name }))]
        }
        None => Vec::new(),
    };
    details.push(detail(DIAGNOSTICS, &json!(error.diagnostics)));
    let failure = Failure::new(code, error.message).with_details(details);
    error.sources.into_iter().fold(failure, |failure, source| failure.with_source(source.info, source.ranges))
}

async fn finish(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    output: PlatformResult,
) -> Result<PlatformOutput, Failure> {
    let value = solve_definition(engine, build, &output.definition).await?;
    Ok(PlatformOutput {
        id: output.id,
        platform: output.platform,
        value,
        config: output.config,
        base_config: output.base_config,
    })
}
