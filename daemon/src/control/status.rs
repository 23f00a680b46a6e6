//! `Status`: a build's journal, from its beginning, as it is written; of a build that has ended, its log.

use std::io;
use std::sync::Arc;

use slipway_proto::control::{StatusRequest, StatusResponse};
use tonic::Status;

use super::Answers;
use crate::build::Watched;
use crate::engine::Engine;
use crate::history::Log;

/// A build that is not there is waited for, unless there is a record of it.
pub(crate) async fn status(
    engine: &Arc<Engine>,
    request: StatusRequest,
) -> Result<Answers<StatusResponse>, Status> {
    let name = request.r#ref;
    let running = engine.builds.find(&name);
    if running.is_none()
        && let Some(log) = engine.history.log(&name)?
    {
        return Ok(replay(log));
    }
    let build = match running {
        Some(build) => build,
        None => engine.builds.watch(&name).await?,
    };
    Ok(follow(build))
}

fn follow(build: Arc<Watched>) -> Answers<StatusResponse> {
    Box::pin(futures::stream::unfold((build, 0), |(build, mut position)| async move {
        let news = build.journal.read(&mut position).await?;
        Some((news.map_err(damaged), (build, position)))
    }))
}

fn replay(log: Log) -> Answers<StatusResponse> {
    Box::pin(futures::stream::unfold(log, |mut log| async move {
        let news = log.read().await?;
        Some((news.map_err(damaged), log))
    }))
}

fn damaged(error: io::Error) -> Status {
    Status::data_loss(format!("the log of the build cannot be read: {error}"))
}
