//! `moby.buildkit.v1.frontend.LLBBridge`: what a frontend may ask.
//!
//! Two kinds of frontend ask here. `buildctl` and `docker buildx` are frontends themselves: they call
//! `Control.Solve` without naming one, work through this service on the daemon's own address (naming the build in
//! the metadata of each call), and hand in the outcome with `Return`. A frontend in an image has the service on its
//! standard streams ([`crate::gateway`]), where there is nothing to name.
//!
//! | module | holds |
//! |---|---|
//! | [`conversation`] | all that one frontend has been told and has answered |
//! | [`refs`] | graphs by name |
//! | [`answer`] | what a frontend makes of a build |
//! | [`attestation`] | what it says about that |
//! | [`solve`], [`files`] | questions about graphs and files; those about sources are the build's |
//! | [`containers`], [`exec`], [`streams`], [`signals`] | processes |
//! | [`capabilities`] | what may be asked at all |

mod answer;
mod attestation;
mod capabilities;
mod containers;
mod conversation;
mod exec;
mod files;
mod refs;
mod signals;
mod solve;
mod streams;

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use slipway_model::Platform;
use slipway_proto::gateway as wire;
use slipway_worker::{Place, ops};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use answer::{Answer, Returned};
pub(crate) use conversation::Conversation;
pub(crate) use refs::{Reference, Refs};

use crate::build::failure::Failure;
use crate::build::journal::WarningEntry;
use crate::build::solve::Read;
use crate::build::{Build, images, sources};
use crate::engine::Engine;
use crate::provenance::ImageSource;

pub(crate) struct Bridge {
    engine: Arc<Engine>,
    /// The only one who can ask; none where each call names its build.
    guest: Option<Guest>,
}

/// A frontend at work, and the build that it works for.
#[derive(Clone)]
pub(crate) struct Guest {
    pub build: Arc<Build>,
    pub conversation: Arc<Conversation>,
}

type Answered<T> = Result<Response<T>, Status>;

impl Bridge {
    /// For clients, on the daemon's own address.
    pub(crate) fn for_clients(engine: Arc<Engine>) -> Self {
        Self { engine, guest: None }
    }

    pub(crate) fn for_guest(engine: Arc<Engine>, guest: Guest) -> Self {
        Self { engine, guest: Some(guest) }
    }

    /// Who asks.
    async fn guest(&self, metadata: &MetadataMap) -> Result<Guest, Status> {
        if let Some(guest) = &self.guest {
            return Ok(guest.clone());
        }
        let id = metadata.get("buildkit-controlapi-buildid").and_then(|id| id.to_str().ok());
        let id = id.ok_or_else(|| Status::invalid_argument("no buildid found in context"))?;
        let build = self.engine.builds.get(id).await?;
        let conversation = build.client.clone();
        Ok(Guest { build, conversation })
    }

    async fn tree(&self, guest: &Guest, reference: &str) -> Result<files::Tree, Status> {
        let value = guest.conversation.refs.value(&self.engine, &guest.build, reference).await;
        told(guest, value.map(files::Tree::Value)).await
    }
}

/// What came of a guest's question. Where an operation failed, the guest may look at what it left behind.
async fn told<T>(guest: &Guest, answer: Result<T, Failure>) -> Result<T, Status> {
    let failure = match answer {
        Ok(answer) => return Ok(answer),
        Err(failure) => failure,
    };
    let conversation = guest.conversation.clone();
    let named = tokio::task::spawn_blocking(move || failure.name_remains(&conversation.refs));
    Err(named.await.map_or_else(|error| Status::internal(error.to_string()), Failure::into_status))
}

#[async_trait::async_trait]
impl wire::llb_bridge_server::LlbBridge for Bridge {
    type ExecProcessStream = Pin<Box<dyn Stream<Item = Result<wire::ExecMessage, Status>> + Send>>;

    /// Only within a build, like all the rest.
    async fn ping(&self, request: Request<wire::PingRequest>) -> Answered<wire::PongResponse> {
        self.guest(request.metadata()).await?;
        Ok(Response::new(capabilities::pong(&self.engine)))
    }

    async fn solve(&self, request: Request<wire::SolveRequest>) -> Answered<wire::SolveResponse> {
        let guest = self.guest(request.metadata()).await?;
        let solved = solve::solve(&self.engine, &guest, request.into_inner()).await;
        told(&guest, solved).await.map(Response::new)
    }

    async fn r#return(&self, request: Request<wire::ReturnRequest>) -> Answered<wire::ReturnResponse> {
        let Guest { conversation, .. } = self.guest(request.metadata()).await?;
        let returned = answer::returned(&conversation.refs, request.into_inner());
        returned.and_then(|returned| conversation.answer(returned)).map_err(Failure::into_status)?;
        Ok(Response::new(wire::ReturnResponse {}))
    }

    async fn resolve_image_config(
        &self,
        request: Request<wire::ResolveImageConfigRequest>,
    ) -> Answered<wire::ResolveImageConfigResponse> {
        let Guest { build, conversation } = self.guest(request.metadata()).await?;
        let request = request.into_inner();
        let place = match request.resolver_type {
            0 => Place::Registry,
            _ => Place::Layout {
                session: Some(request.session_id).filter(|session| !session.is_empty()),
                store: request.store_id,
            },
        };
        let (platform, local) = (request.platform.as_ref().map(Platform::from), place != Place::Registry);
        let question = images::ImageQuestion {
            reference: request.r#ref.clone(),
            platform: platform.clone(),
            mode: request.resolve_mode,
            log_name: request.log_name,
            place,
            policies: request.source_policies,
        };
        let answer = images::resolve(&self.engine, &build, question).await;
        let resolved =
            answer.and_then(|answer| answer.image(&request.r#ref)).map_err(Failure::into_status)?;
        let (reference, digest) = (resolved.reference.clone(), resolved.digest);
        conversation.inquiry.image(ImageSource { reference, platform, digest, local });
        Ok(Response::new(wire::ResolveImageConfigResponse {
            digest: resolved.digest.to_string(),
            config: resolved.config,
            r#ref: resolved.reference,
        }))
    }

    async fn resolve_source_meta(
        &self,
        request: Request<wire::ResolveSourceMetaRequest>,
    ) -> Answered<wire::ResolveSourceMetaResponse> {
        let Guest { build, conversation } = self.guest(request.metadata()).await?;
        let request = request.into_inner();
        let platform = request.platform.as_ref().map(Platform::from);
        let resolved = sources::resolve(&self.engine, &build, request).await.map_err(Failure::into_status)?;
        if let Some(image) = sources::image_of(&resolved, platform) {
            conversation.inquiry.image(image);
        }
        Ok(Response::new(resolved))
    }

    async fn read_file(&self, request: Request<wire::ReadFileRequest>) -> Answered<wire::ReadFileResponse> {
        let guest = self.guest(request.metadata()).await?;
        let request = request.into_inner();
        files::read_file(self.tree(&guest, &request.r#ref).await?, request).await.map(Response::new)
    }

    async fn read_dir(&self, request: Request<wire::ReadDirRequest>) -> Answered<wire::ReadDirResponse> {
        let guest = self.guest(request.metadata()).await?;
        let request = request.into_inner();
        files::read_dir(self.tree(&guest, &request.r#ref).await?, request).await.map(Response::new)
    }

    async fn stat_file(&self, request: Request<wire::StatFileRequest>) -> Answered<wire::StatFileResponse> {
        let guest = self.guest(request.metadata()).await?;
        let request = request.into_inner();
        files::stat_file(self.tree(&guest, &request.r#ref).await?, request).await.map(Response::new)
    }

    async fn evaluate(&self, request: Request<wire::EvaluateRequest>) -> Answered<wire::EvaluateResponse> {
        let guest = self.guest(request.metadata()).await?;
        let reference = guest.conversation.refs.get(&request.into_inner().r#ref);
        if let Some(reference) = reference.map_err(Failure::into_status)? {
            told(&guest, reference.built(&self.engine, &guest.build, Read::Never).await).await?;
        }
        Ok(Response::new(wire::EvaluateResponse {}))
    }

    async fn warn(&self, request: Request<wire::WarnRequest>) -> Answered<wire::WarnResponse> {
        let Guest { build, .. } = self.guest(request.metadata()).await?;
        let wire::WarnRequest { digest, level, short, detail, url, info, ranges } = request.into_inner();
        build.journal.warn(digest, WarningEntry { level, short, detail, url, info, ranges });
        Ok(Response::new(wire::WarnResponse {}))
    }

    async fn inputs(&self, request: Request<wire::InputsRequest>) -> Answered<wire::InputsResponse> {
        let Guest { conversation, .. } = self.guest(request.metadata()).await?;
        Ok(Response::new(wire::InputsResponse { definitions: conversation.inputs.clone() }))
    }

    async fn new_container(
        &self,
        request: Request<wire::NewContainerRequest>,
    ) -> Answered<wire::NewContainerResponse> {
        let guest = self.guest(request.metadata()).await?;
        let created = containers::create(&self.engine, &guest, request.into_inner()).await;
        told(&guest, created).await.map(|()| Response::new(wire::NewContainerResponse {}))
    }

    async fn release_container(
        &self,
        request: Request<wire::ReleaseContainerRequest>,
    ) -> Answered<wire::ReleaseContainerResponse> {
        let Guest { conversation, .. } = self.guest(request.metadata()).await?;
        conversation.containers.release(&request.into_inner().container_id).await?;
        Ok(Response::new(wire::ReleaseContainerResponse {}))
    }

    async fn exec_process(
        &self,
        request: Request<Streaming<wire::ExecMessage>>,
    ) -> Answered<Self::ExecProcessStream> {
        let guest = self.guest(request.metadata()).await?;
        Ok(Response::new(Box::pin(exec::serve(guest, request.into_inner()))))
    }

    async fn read_file_container(
        &self,
        request: Request<wire::ReadFileRequest>,
    ) -> Answered<wire::ReadFileResponse> {
        let Guest { conversation, .. } = self.guest(request.metadata()).await?;
        let request = request.into_inner();
        let container = conversation.containers.get(&request.r#ref)?;
        files::read_file(files::Tree::Container(container, request.mount_index), request)
            .await
            .map(Response::new)
    }

    async fn read_dir_container(
        &self,
        request: Request<wire::ReadDirRequest>,
    ) -> Answered<wire::ReadDirResponse> {
        let Guest { conversation, .. } = self.guest(request.metadata()).await?;
        let request = request.into_inner();
        let container = conversation.containers.get(&request.r#ref)?;
        files::read_dir(files::Tree::Container(container, request.mount_index), request)
            .await
            .map(Response::new)
    }

    async fn stat_file_container(
        &self,
        request: Request<wire::StatFileRequest>,
    ) -> Answered<wire::StatFileResponse> {
        let Guest { conversation, .. } = self.guest(request.metadata()).await?;
        let request = request.into_inner();
        let container = conversation.containers.get(&request.r#ref)?;
        files::stat_file(files::Tree::Container(container, request.mount_index), request)
            .await
            .map(Response::new)
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
