//! Object stores far away, as places for caches: blobs by their digests, and configs by name.
//!
//! | file | holds |
//! |---|---|
//! | `cache_store` | the wall: what a cache needs of such a place |
//! | `named` | a cache in any store that keeps objects by name, as S3 and Azure do |
//! | `s3` | Amazon's S3 and all that speak its protocol: signing, uploads in parts |
//! | `azure` | Azure Blob Storage: signing with a shared key, uploads in blocks |
//! | `actions` | the cache of GitHub Actions (its second API): entries that never change, in Azure's storage |
//! | `resume` | reading that goes on where it broke off |
//! | `error` | what is told when it fails |
//!
//! # Layout
//!
//! | place | blob | config |
//! |---|---|---|
//! | S3 | `PREFIX` `BLOBS_PREFIX` `sha256:…` | `PREFIX` `MANIFESTS_PREFIX` `NAME` |
//! | Azure | the same, joined by `/` | the same, joined by `/` |
//! | Actions | the entry `buildkit-blob-1-sha256:…` | the newest entry `index-SCOPE-1-HASH#N` |
//!
//! There is no manifest: a config's layers carry what a manifest would say of them. This is BuildKit's layout, so a
//! cache that one of the two wrote is found by the other.
//!
//! # Secrets
//!
//! Keys and tokens come with a build's options, are held for the time of an import or an export as
//! [`slipway_model::Redacted`], and reach the one server that they are for. An address with a signature in it (as
//! GitHub hands out) is never part of an error or of a log.

pub mod actions;
pub mod azure;
mod cache_store;
mod error;
mod named;
mod options;
mod resume;
pub mod s3;

pub use cache_store::CacheStore;
pub use error::{Error, Result};
pub use named::Named;
pub use options::Options;
