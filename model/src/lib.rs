//! The nouns of image building: digests, descriptors, manifests, image configs, platforms,
//! references and the LLB graph.
//!
//! Nothing here does I/O, is async or knows another room. A value that exists is valid: parsing is
//! the only way in, and it answers with what was wrong.

pub mod descriptor;
pub mod digest;
pub mod image_config;
pub mod lexical;
pub mod llb;
pub mod manifest;
pub mod media_type;
pub mod mount;
pub mod pattern;
pub mod platform;
pub mod purl;
pub mod quote;
pub mod redacted;
pub mod reference;

pub use descriptor::Descriptor;
pub use digest::{BlobDigest, ChainId, DiffId, Digest, DigestError, Hasher, hex};
pub use image_config::ImageConfig;
pub use manifest::{Index, Manifest};
pub use platform::Platform;
pub use purl::PackageUrl;
pub use redacted::Redacted;
pub use reference::{Reference, ReferenceError};
