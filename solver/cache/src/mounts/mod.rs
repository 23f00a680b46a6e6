//! Cache mounts that travel: what `RUN --mount=type=cache` keeps, given to builds elsewhere.
//!
//! The contents of a mount are a stream ([`slipway_store::layer::contents`]), and the stream is cut into chunks where
//! its own bytes say so (FastCDC). A chunk that was sent before is not sent again, so after a small change little
//! travels, though all is looked at.
//!
//! ```text
//! directory ─> stream ─> chunks ─┬─ known: named only
//!                                └─ new ─> packs ─> blobs of the cache
//! ```
//!
//! | what | is | file |
//! |---|---|---|
//! | chunk | 16 to 256 KiB, by its SHA-256 | [`chunker`] |
//! | pack | new chunks one after the other, each packed by zstd or, where that gains nothing, as it is | [`pack`] |
//! | index | which mounts there are, of which chunks each is made, in which pack each of those is | [`index`] |
//! | stream | the chunks of a mount as one stream again, verified one by one | [`stream`] |
//!
//! Packs and the index are blobs beside the layers of a cache. The cache's config names the index in a field of its
//! own, `mounts`; a manifest lists it and the packs among the layers, so that a registry keeps them. Who does not
//! know the field passes over it. `docs/caches.md` has the format.
//!
//! # Where a pack ends
//!
//! After 4 MiB, at the next chunk whose digest begins with six zero bits, after 16 MiB in any case. So somebody who
//! knows nothing of an earlier export and packs everything again makes mostly the same packs, which are there.
//!
//! # What becomes of old chunks
//!
//! A pack of which less than half is needed by the mounts that its index lists counts as unknown at the next export:
//! what is needed of it is sent again in a new pack, and the old one is no longer named.

pub mod chunker;
pub mod index;
pub mod pack;
pub mod stream;

pub use index::{Index, PackEntry, Root, SavedMount};

/// The media type of an index: JSON, packed by zstd.
pub const INDEX_TYPE: &str = "application/vnd.slipway.cachemounts.index.v1+zstd";
/// The media type of a pack.
pub const PACK_TYPE: &str = "application/vnd.slipway.cachemounts.pack.v1";
