//! What can go wrong when the cache is opened. Later failures cost time, not builds, and are logged.

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the build cache's records")]
    Metadata(#[from] slipway_store::error::Error),
}

/// A record is not in the store any more.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the cached result {0} is gone")]
pub struct Gone(pub String);
