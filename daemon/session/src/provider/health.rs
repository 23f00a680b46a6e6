//! The daemon asks now and then whether the client still is there. It is, or nobody would answer.

use slipway_proto::health::health_check_response::ServingStatus;
use slipway_proto::health::health_server::Health;
use slipway_proto::health::{HealthCheckRequest, HealthCheckResponse};
use tonic::{Request, Response, Status};

pub(super) struct Serving;

#[async_trait::async_trait]
impl Health for Serving {
    type WatchStream = futures::stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watching is not offered"))
    }
}
