//! What is kept of a build: its log, its trace, blobs.

use slipway_proto::control::{BuildHistoryRequest, StatusRequest};

use super::flags::{Connection, LogsFlags};
use crate::build::run::follow;
use crate::content;
use crate::error::Failure;
use crate::progress::Progress;

/// `debug logs`, on standard output.
pub async fn logs(connection: &Connection, flags: LogsFlags) -> Result<(), Failure> {
    if flags.trace {
        return trace(connection, flags.id).await;
    }
    let stream = connection.control().await?.status(StatusRequest { r#ref: flags.id }).await?.into_inner();
    // Progress speaks to standard error, and here it is what was asked for.
    rustix::stdio::dup2_stderr(std::io::stdout())
        .map_err(|error| Failure::new(format!("cannot write to standard output: {error}")))?;
    let mut progress = Progress::start(flags.progress);
    let followed = follow(stream, &mut progress).await;
    progress.finish(followed.is_ok());
    Ok(followed?)
}

async fn trace(connection: &Connection, id: String) -> Result<(), Failure> {
    let request =
        BuildHistoryRequest { r#ref: id.clone(), early_exit: true, ..BuildHistoryRequest::default() };
    let mut events = connection.control().await?.listen_build_history(request).await?.into_inner();
    let event = events.message().await?.ok_or_else(|| Failure::new(format!("there is no record of {id}")))?;
    let trace = event.record.and_then(|record| record.trace);
    let trace = trace.ok_or_else(|| Failure::new(format!("the record of {id} has no trace")))?;
    get(connection, &trace.digest).await
}

/// `debug get`
pub async fn get(connection: &Connection, digest: &str) -> Result<(), Failure> {
    content::print(connection.channel().await?, digest).await
}
