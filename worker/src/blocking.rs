//! Work that waits for the disk, away from the threads that serve everybody.

use crate::{Error, Result};

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Failed(format!("the work stopped: {error}")))?
}
