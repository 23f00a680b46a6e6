//! The lock of a build: read from its client before anything is looked at, told to it after the build has succeeded.

use slipway_proto::explain::LockedSource;
use slipway_worker::source::lock::{Lock, Values};

use super::Build;
use super::failure::Failure;
use crate::engine::Engine;

/// Reads the client's lock.
pub(crate) async fn read(engine: &Engine, build: &Build) -> Result<(), Failure> {
    let session = engine.sessions.get(&build.session).await.map_err(Failure::from_error)?;
    let offered = session.lock().await.map_err(Failure::from_error)?;
    let mut listed = Values::new();
    for LockedSource { source, resolved } in offered.sources {
        listed.entry(source).or_default().extend(resolved);
    }
    build.scope.sources.set_lock(Lock::new(offered.name, offered.locked, listed));
    Ok(())
}

/// Tells the client what was used.
pub(crate) async fn write(engine: &Engine, build: &Build) -> Result<(), Failure> {
    let Some(lock) = build.scope.sources.lock() else { return Ok(()) };
    let found = lock.found().into_iter();
    let found = found
        .map(|(source, resolved)| LockedSource { source, resolved: resolved.into_iter().collect() })
        .collect();
    let session = engine.sessions.get(&build.session).await.map_err(Failure::from_error)?;
    session.write_lock(found).await.map_err(Failure::from_error)
}
