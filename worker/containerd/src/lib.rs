//! containerd behind our walls: its snapshots, content, leases, images and tasks, by its gRPC API.
//!
//! The solver, the operations and the exporters know nothing of it. What they use is put on it where the walls are:
//!
//! | wall | here | containerd's service |
//! |---|---|---|
//! | `store::Snapshotter` | [`ContainerdSnapshotter`] | snapshots |
//! | `store::Content` | [`ContainerdContent`] | content |
//! | what both keep | `lease` | leases |
//! | `run::Elsewhere` | [`ContainerdTasks`] | containers, tasks |
//! | images by name | [`ImageStore`] | images, content (labels), diff (unpacking) |
//! | names that others take away | [`watch_images`] | events |
//!
//! What is known of snapshots and blobs (who uses what, what a layer's diff id is, what a step's cache record says)
//! stays in our own database: containerd keeps bytes and names, and one *lease* per state directory keeps them from
//! its garbage collection. What we prune is let go of, not deleted: if an image of somebody else needs it, it stays.
//!
//! Others use the same containerd. What they remove is noticed when it is asked for, and made again
//! (`store::Backend`).
//!
//! What is absent, on purpose: copies. The paths that containerd answers with are of this host, so trees are mounted,
//! read and filled right where it keeps them.

mod client;
mod content;
mod error;
mod executor;
mod images;
mod lease;
mod mounts;
mod snapshotter;
mod watch;

pub use client::{Client, Server};
pub use content::ContainerdContent;
pub use error::{Error, Result};
pub use executor::{ContainerdTasks, Runtime};
pub use images::{ImageStore, NamedImage};
pub use snapshotter::ContainerdSnapshotter;
pub use watch::{Names, watch_images};
