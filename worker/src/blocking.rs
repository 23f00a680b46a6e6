//! Work that waits for the disk, away from the threads that serve everybody.

use crate::{Error, Result};

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    // What is logged in there tells for which build.
    let build = tracing::Span::current();
    tokio::task::spawn_blocking(move || build.in_scope(work))
        .await
        .map_err(|error| Error::Failed(format!("the work stopped: {error}")))?
}
