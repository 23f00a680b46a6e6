//! Frontends that are part of the daemon: `dockerfile.v0`.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use slipway_frontend::{Facts, FrontendResult, PlatformResult};
use slipway_model::llb::pb;

use super::Build;
use super::failure::Failure;
use super::gateway::BuildGateway;
use super::result::{BuildResult, PlatformOutput};
use super::solve::solve_definition;
use crate::engine::Engine;

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
    slipway_frontend::build(&gateway, options, inputs).await.map_err(|error| {
        let message = error.to_string();
        error.sources.into_iter().fold(Failure::new(tonic::Code::Unknown, message), |failure, source| {
            failure.with_source(source.info, source.ranges)
        })
    })
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
