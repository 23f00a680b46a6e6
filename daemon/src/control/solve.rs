//! `Solve`: see [`crate::build::solve`].

use std::sync::Arc;

use slipway_proto::control::{SolveRequest, SolveResponse};
use tonic::{Request, Status};

use crate::build;
use crate::engine::Engine;
use crate::telemetry::Parent;

pub(super) async fn solve(
    engine: &Arc<Engine>,
    request: Request<SolveRequest>,
    parent: Option<Parent>,
) -> Result<SolveResponse, Status> {
    let name = &request.get_ref().frontend;
    if !engine.frontends.allows(name) {
        return Err(Status::permission_denied(format!(
            "frontend {name} is not enabled in the daemon's configuration"
        )));
    }
    build::solve::solve(engine, request, parent).await
}
