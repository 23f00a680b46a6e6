//! Build history. Builds are not kept after their end yet, so there is none to list or change.

use slipway_proto::control::{
    BuildHistoryEvent, BuildHistoryRequest, UpdateBuildHistoryRequest, UpdateBuildHistoryResponse,
};
use tonic::Status;

use super::Answers;
use crate::engine::Engine;

/// Clients ask for the past (`EarlyExit`) or follow what happens; both see nothing.
pub(super) fn listen(
    _: &Engine,
    request: &BuildHistoryRequest,
) -> Result<Answers<BuildHistoryEvent>, Status> {
    if request.early_exit {
        Ok(Box::pin(futures::stream::empty()))
    } else {
        Ok(Box::pin(futures::stream::pending()))
    }
}

pub(super) fn update(request: &UpdateBuildHistoryRequest) -> Result<UpdateBuildHistoryResponse, Status> {
    Err(Status::not_found(format!("no record of build {:?}: build history is not kept", request.r#ref)))
}
