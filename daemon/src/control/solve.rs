//! `Solve`: see [`crate::build::solve`].

use std::sync::Arc;

use slipway_proto::control::{SolveRequest, SolveResponse};
use tonic::Status;

use crate::build;
use crate::engine::Engine;
use crate::telemetry::Parent;

pub(super) async fn solve(
    engine: &Arc<Engine>,
    request: SolveRequest,
    parent: Option<Parent>,
) -> Result<SolveResponse, Status> {
    if !engine.frontends.allows(&request.frontend) {
        let name = request.frontend;
        return Err(Status::permission_denied(format!(
            "frontend {name} is not enabled in the daemon's configuration"
        )));
    }
    build::solve::solve(engine, request, parent).await
}
