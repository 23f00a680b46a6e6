//! Caches that travel: BuildKit's format, version 0, read and written.
//!
//! A cache is a manifest of layer blobs and one config. The config says which keys lead where and which
//! layers a key's result is made of. Ways of packing it, all of them read ([`manifest`]):
//!
//! | form | layers | config |
//! |---|---|---|
//! | image manifest | `layers` | `config`, of the type [`CONFIG_TYPE`] |
//! | index | entries of the list | an entry of that type |
//! | a config alone, in object stores | what the config's own layers say | – |
//! | inline | those of an image | the image config's field [`INLINE_FIELD`], base64, records only |
//!
//! # Keys
//!
//! A record's `digest` is that of `"<operation>@<output>"`, inputs excluded; which key it is follows from
//! what leads to it. A record without inputs is a root or a content, and its digest *is* the key
//! ([`slipway_solver::KeyId`]). All others get a key here, made of their digest and of everything that leads
//! to them, so that the same record of the same cache has the same key on each import.
//!
//! The operation itself cannot be read back from such a digest. It need not be: who follows a link brings the
//! operation along ([`records`] remembers it, for the way back).
//!
//! | what | where |
//! |---|---|
//! | the config as it is written | [`config`] |
//! | manifests, and inline caches of images | [`manifest`] |
//! | an imported cache as a source of records | [`records`] |
//! | what an export holds: the way from the roots to a result | [`walk`] |
//! | its config, sorted | [`compose`] |

pub mod compose;
pub mod config;
pub mod manifest;
pub mod records;
pub mod walk;

/// The media type of a cache's config.
pub const CONFIG_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// The field of an image config that holds an inline cache.
pub const INLINE_FIELD: &str = "moby.buildkit.cache.v0";
/// The annotation of a layer that says what it unpacks to.
pub const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// The annotation of a layer that says what made it, while it is on its way into a store.
pub const DESCRIPTION: &str = "buildkit/description";
/// The annotation of a layer that says when it was made.
pub const CREATED_AT: &str = "buildkit/createdat";
