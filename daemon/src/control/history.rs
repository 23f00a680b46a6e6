//! `ListenBuildHistory` and `UpdateBuildHistory`.

use std::sync::Arc;

use slipway_proto::control::{
    BuildHistoryEvent, BuildHistoryRequest, UpdateBuildHistoryRequest, UpdateBuildHistoryResponse,
};
use tonic::Status;

use super::Answers;
use crate::engine::Engine;
use crate::telemetry;

pub(super) fn listen(
    engine: &Engine,
    request: &BuildHistoryRequest,
) -> Result<Answers<BuildHistoryEvent>, Status> {
    let listener = engine.history.listen(request)?;
    let events = futures::stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((event.map_err(Status::from), listener))
    });
    Ok(Box::pin(events))
}

pub(super) async fn update(
    engine: &Arc<Engine>,
    request: UpdateBuildHistoryRequest,
) -> Result<UpdateBuildHistoryResponse, Status> {
    let history = engine.history.clone();
    let work = tokio::task::spawn_blocking(move || {
        let name = &request.r#ref;
        if request.delete {
            history.delete(name)
        } else if request.finalize {
            let untraced = history.without_trace(name)?;
            untraced.into_iter().for_each(telemetry::trace_from_log);
            Ok(())
        } else {
            history.pin(name, request.pinned)
        }
    });
    work.await.map_err(|error| Status::internal(error.to_string()))??;
    Ok(UpdateBuildHistoryResponse {})
}
