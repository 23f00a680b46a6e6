//! `moby.buildkit.v1.Control`: a file per method that does more than answer.

mod content;
mod disk_usage;
mod history;
mod info;
mod prune;
mod session;
mod solve;
mod status;
pub(crate) mod workers;

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use slipway_proto::control as wire;
use slipway_proto::health::health_check_response::ServingStatus;
use slipway_proto::health::{HealthCheckRequest, HealthCheckResponse};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::Instrument as _;

use crate::engine::Engine;
use crate::telemetry;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

pub(crate) use content::Content;

pub(crate) struct Control(pub Arc<Engine>);

/// With the daemon's time, by which clients measure what is still running.
fn at_this_time<T>(answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    let now = OffsetDateTime::now_utc().format(&Rfc3339).ok().and_then(|now| now.parse().ok());
    if let Some(now) = now {
        response.metadata_mut().insert("buildkit-current-timestamp", now);
    }
    response
}

#[async_trait::async_trait]
impl wire::control_server::Control for Control {
    type PruneStream = Answers<wire::UsageRecord>;
    type StatusStream = Answers<wire::StatusResponse>;
    type SessionStream = Answers<wire::BytesMessage>;
    type ListenBuildHistoryStream = Answers<wire::BuildHistoryEvent>;

    async fn disk_usage(&self, request: Request<wire::DiskUsageRequest>) -> Answer<wire::DiskUsageResponse> {
        disk_usage::disk_usage(&self.0, request.into_inner()).await
    }

    async fn prune(&self, request: Request<wire::PruneRequest>) -> Answer<Self::PruneStream> {
        let (metrics, removed) = (self.0.metrics.clone(), prune::prune(&self.0, request.into_inner())?);
        let counted = removed.inspect(move |record| {
            if let Ok(record) = record {
                metrics.pruned(record.size);
            }
        });
        Ok(Response::new(Box::pin(counted)))
    }

    async fn solve(&self, request: Request<wire::SolveRequest>) -> Answer<wire::SolveResponse> {
        let parent = telemetry::Parent::of(request.metadata());
        let asked = &request.get_ref().r#ref;
        // What the log says of an id that is none is bounded, too.
        let id: String = asked.chars().take(64).collect();
        tracing::info!(build = ?id, "a build begins");
        let count = telemetry::BuildCount::begin(self.0.metrics.clone());
        let span = tracing::info_span!("build", id = ?id);
        let solved = solve::solve(&self.0, request, parent).instrument(span).await;
        let code = solved.as_ref().err().map_or(Code::Ok, Status::code);
        count.ended(code);
        tracing::info!(build = ?id, ?code, "a build ended");
        solved.map(Response::new)
    }

    async fn status(&self, request: Request<wire::StatusRequest>) -> Answer<Self::StatusStream> {
        status::status(&self.0, request.into_inner()).await.map(at_this_time)
    }

    async fn session(&self, request: Request<Streaming<wire::BytesMessage>>) -> Answer<Self::SessionStream> {
        session::session(&self.0, request).map(Response::new)
    }

    async fn list_workers(
        &self,
        request: Request<wire::ListWorkersRequest>,
    ) -> Answer<wire::ListWorkersResponse> {
        workers::list(&self.0, &request.into_inner()).map(Response::new)
    }

    async fn info(&self, _: Request<wire::InfoRequest>) -> Answer<wire::InfoResponse> {
        Ok(Response::new(info::info()))
    }

    async fn listen_build_history(
        &self,
        request: Request<wire::BuildHistoryRequest>,
    ) -> Answer<Self::ListenBuildHistoryStream> {
        history::listen(&self.0, &request.into_inner()).map(at_this_time)
    }

    async fn update_build_history(
        &self,
        request: Request<wire::UpdateBuildHistoryRequest>,
    ) -> Answer<wire::UpdateBuildHistoryResponse> {
        history::update(&self.0, request.into_inner()).await.map(Response::new)
    }
}

/// The standard health service: whoever is answered is served.
pub(crate) struct Health;

#[async_trait::async_trait]
impl slipway_proto::health::health_server::Health for Health {
    type WatchStream = Answers<HealthCheckResponse>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Answer<HealthCheckResponse> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Answer<Self::WatchStream> {
        let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
        let first = futures::stream::iter([Ok(serving)]);
        Ok(Response::new(Box::pin(first.chain(futures::stream::pending()))))
    }
}
