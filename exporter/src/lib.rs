//! What a build gives out: images, archives, folders.
//!
//! ```text
//! ExportSource ─┬─> image::commit ─> blobs in the store ─┬─> names, registry      (image)
//!               │                                        └─> tar stream, layout   (oci, docker)
//!               └─> files::Files ─> tree, one file after the other                (local, tar)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`source`] | what is exported: a reference and an image config for each platform |
//! | [`options`] | what clients write after `--output`, by exporter |
//! | [`image`] | configs, manifests, indexes |
//! | [`archive`] | the files of an OCI layout, as a tar or in a folder |
//! | [`attestation`] | what is said about results: provenance, bills of materials |
//! | [`push`] | images to a registry |
//! | [`images`] | images by name, in the store |
//! | [`files`] | the files of a tree in the order in which they are sent |
//! | [`sink`] | where it all goes: the wall to the session |
//!
//! Nothing here depends on a clock unless the client says so (`source-date-epoch=`, empty): times are in an image
//! only if somebody says which.
//! Absent: nydus; asking for it is an error, not ignored.

pub mod archive;
pub mod attestation;
pub mod error;
pub mod exporter;
pub mod files;
pub mod image;
pub mod images;
pub mod options;
pub mod push;
pub mod sink;
pub mod source;

pub use attestation::Attestation;
pub use error::Error;
pub use exporter::{Context, Exporter, Response, exporter};
pub use sink::{FileSink, LayoutSink, Outputs};
pub use source::{ExportSource, PlatformImage};
