//! `moby.buildkit.v1.frontend.LLBBridge`: what a client that is a frontend itself may ask.
//!
//! `buildctl` and `docker buildx` drive every build through it: they call `Control.Solve` without a
//! frontend, solve through this bridge (naming the build in the metadata of each call), and hand in
//! the outcome with `Return`. Containers are not offered; the capabilities say so.

mod capabilities;
mod files;
mod refs;
mod returned;
mod solve;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use slipway_model::Platform;
use slipway_proto::gateway as wire;
use slipway_worker::{Place, ops};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::build::failure::Failure;
use crate::build::journal::WarningEntry;
use crate::build::{Build, images};
use crate::engine::Engine;
pub(crate) use refs::Refs;
pub(crate) use returned::Returned;

pub(crate) struct Bridge(pub Arc<Engine>);

type Answer<T> = Result<Response<T>, Status>;

impl Bridge {
    /// The build that a call belongs to.
    async fn build(&self, metadata: &MetadataMap) -> Result<Arc<Build>, Status> {
        let id = metadata.get("buildkit-controlapi-buildid").and_then(|id| id.to_str().ok());
        let id = id.ok_or_else(|| Status::invalid_argument("no buildid found in context"))?;
        self.0.builds.get(id).await
    }
}

fn no_containers() -> Status {
    Status::unimplemented("containers of frontends are not supported")
}

#[async_trait::async_trait]
impl wire::llb_bridge_server::LlbBridge for Bridge {
    type ExecProcessStream = Pin<Box<dyn Stream<Item = Result<wire::ExecMessage, Status>> + Send>>;

    async fn ping(&self, _: Request<wire::PingRequest>) -> Answer<wire::PongResponse> {
        Ok(Response::new(capabilities::pong(&self.0)))
    }

    async fn solve(&self, request: Request<wire::SolveRequest>) -> Answer<wire::SolveResponse> {
        let build = self.build(request.metadata()).await?;
        let solved = solve::solve(&self.0, &build, request.into_inner()).await;
        solved.map(Response::new).map_err(Failure::into_status)
    }

    async fn r#return(&self, request: Request<wire::ReturnRequest>) -> Answer<wire::ReturnResponse> {
        let build = self.build(request.metadata()).await?;
        let returned = returned::returned(&self.0, &build, request.into_inner()).await;
        // The build has ended already: nobody waits for its result.
        let _ = build.returned.send(returned).await;
        Ok(Response::new(wire::ReturnResponse {}))
    }

    async fn resolve_image_config(
        &self,
        request: Request<wire::ResolveImageConfigRequest>,
    ) -> Answer<wire::ResolveImageConfigResponse> {
        let build = self.build(request.metadata()).await?;
        let request = request.into_inner();
        let place = match request.resolver_type {
            0 => Place::Registry,
            _ => Place::Layout {
                session: Some(request.session_id).filter(|session| !session.is_empty()),
                store: request.store_id,
            },
        };
        let platform = request.platform.as_ref().map(Platform::from);
        let (reference, mode, log_name) = (&request.r#ref, &request.resolve_mode, &request.log_name);
        let resolving = images::resolve(&self.0, &build, reference, platform, mode, log_name, place);
        let resolved = resolving.await.map_err(Failure::into_status)?;
        Ok(Response::new(wire::ResolveImageConfigResponse {
            digest: resolved.digest.to_string(),
            config: resolved.config,
            r#ref: request.r#ref,
        }))
    }

    async fn read_file(&self, request: Request<wire::ReadFileRequest>) -> Answer<wire::ReadFileResponse> {
        let build = self.build(request.metadata()).await?;
        files::read_file(&self.0, &build, request.into_inner()).await.map(Response::new)
    }

    async fn read_dir(&self, request: Request<wire::ReadDirRequest>) -> Answer<wire::ReadDirResponse> {
        let build = self.build(request.metadata()).await?;
        files::read_dir(&self.0, &build, request.into_inner()).await.map(Response::new)
    }

    async fn stat_file(&self, request: Request<wire::StatFileRequest>) -> Answer<wire::StatFileResponse> {
        let build = self.build(request.metadata()).await?;
        files::stat_file(&self.0, &build, request.into_inner()).await.map(Response::new)
    }

    async fn evaluate(&self, request: Request<wire::EvaluateRequest>) -> Answer<wire::EvaluateResponse> {
        let build = self.build(request.metadata()).await?;
        let reference = request.into_inner().r#ref;
        refs::value(&self.0, &build, &reference).await.map_err(Failure::into_status)?;
        Ok(Response::new(wire::EvaluateResponse {}))
    }

    async fn warn(&self, request: Request<wire::WarnRequest>) -> Answer<wire::WarnResponse> {
        let build = self.build(request.metadata()).await?;
        let wire::WarnRequest { digest, level, short, detail, url, info, ranges } = request.into_inner();
        build.journal.warn(digest, WarningEntry { level, short, detail, url, info, ranges });
        Ok(Response::new(wire::WarnResponse {}))
    }

    async fn inputs(&self, _: Request<wire::InputsRequest>) -> Answer<wire::InputsResponse> {
        // Inputs come with Control.Solve, to a frontend that runs here.
        Ok(Response::new(wire::InputsResponse::default()))
    }

    async fn resolve_source_meta(
        &self,
        _: Request<wire::ResolveSourceMetaRequest>,
    ) -> Answer<wire::ResolveSourceMetaResponse> {
        Err(Status::unimplemented("resolving the metadata of sources is not supported"))
    }

    async fn new_container(
        &self,
        _: Request<wire::NewContainerRequest>,
    ) -> Answer<wire::NewContainerResponse> {
        Err(no_containers())
    }

    async fn release_container(
        &self,
        _: Request<wire::ReleaseContainerRequest>,
    ) -> Answer<wire::ReleaseContainerResponse> {
        Err(no_containers())
    }

    async fn exec_process(
        &self,
        _: Request<Streaming<wire::ExecMessage>>,
    ) -> Answer<Self::ExecProcessStream> {
        Err(no_containers())
    }

    async fn read_file_container(&self, _: Request<wire::ReadFileRequest>) -> Answer<wire::ReadFileResponse> {
        Err(no_containers())
    }

    async fn read_dir_container(&self, _: Request<wire::ReadDirRequest>) -> Answer<wire::ReadDirResponse> {
        Err(no_containers())
    }

    async fn stat_file_container(&self, _: Request<wire::StatFileRequest>) -> Answer<wire::StatFileResponse> {
        Err(no_containers())
    }
}

/// Checks a graph as soon as a client brings it, so that what is wrong with it is told at once.
fn check_definition(
    engine: &Arc<Engine>,
    build: &Build,
    definition: &slipway_proto::pb::Definition,
) -> Result<(), Failure> {
    let decoded = slipway_model::llb::Definition::decode(definition)
        .map_err(|error| Failure::invalid(error.to_string()))?;
    ops::load(&engine.worker, &decoded, &build.scope).map_err(Failure::from_error)?;
    Ok(())
}
