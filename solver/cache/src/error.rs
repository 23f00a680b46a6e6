//! What can go wrong when a cache is opened or read. Later failures cost time, not builds, and are logged.

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the build cache's records")]
    Metadata(#[from] slipway_store::error::Error),
    #[error("the cache is not in the format of version 0")]
    Config(#[source] serde_json::Error),
    #[error("the index of cache mounts cannot be packed or unpacked")]
    Pack(#[source] std::io::Error),
    #[error("the cache is damaged: {0}")]
    Broken(&'static str),
}

/// A record is not in the store any more.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the cached result {0} is gone")]
pub struct Gone(pub String);
