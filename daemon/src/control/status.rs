//! `Status`: a build's journal, from its beginning, as it is written.

use std::sync::Arc;

use slipway_proto::control::{StatusRequest, StatusResponse};
use tonic::Status;

use super::Answers;
use crate::engine::Engine;

pub(crate) async fn status(
    engine: &Arc<Engine>,
    request: StatusRequest,
) -> Result<Answers<StatusResponse>, Status> {
    let build = engine.builds.get(&request.r#ref).await?;
    let stream = futures::stream::unfold((build, 0), |(build, mut position)| async move {
        let response = build.journal.read(&mut position).await?;
        Some((Ok(response), (build, position)))
    });
    Ok(Box::pin(stream))
}
