//! What is said about a result: provenance, bills of materials, whatever a frontend adds.
//!
//! ```text
//! Attestation ── unbundle ─> Attestation (in-toto) ── supplement ─> statement ─┬─> manifest beside the image
//!   of a tree, a bundle of           one file each      layers of      subjects  └─> file beside the files
//!   them, or made here                                   an SBOM's files
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`unbundle`] | a folder of statements becomes one attestation for each |
//! | [`supplement`] | an SBOM learns which layer brought each file |
//! | [`statement`] | predicate and subjects, as in-toto writes them |
//! | [`manifest`] | statements as the layers of a manifest that points to its image |
//! | [`sbom`] | a bill of materials made here, without a scanner |
//!
//! # Where they go
//!
//! | exporter | attestations become |
//! |---|---|
//! | `image`, `oci`, `docker` | for each platform a manifest of its own, in an index beside the images |
//! | `local`, `tar` | files at the root, `attestation-prefix` and name, such as `provenance.json` |
//!
//! An image for one platform becomes an index through them. Who wants the plain manifest says so
//! ([`Placement`]): `attestations=none` leaves them to the build's history, `attestations=referrers` pushes them as
//! artifacts of their own that point to the image. Attestations that are *inline only* (what clients ask for without
//! being told to) never reach archives and files, and images only unless `attestation-inline=false`.

pub mod manifest;
pub mod sbom;
pub mod statement;
pub mod supplement;
pub mod unbundle;

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use slipway_model::{Descriptor, Digest};
use slipway_store::{Ref, inroot};

use crate::error::{Error, Result};

/// The predicate type of an SBOM in SPDX.
pub const SPDX: &str = "https://spdx.dev/Document";
/// How the predicate types of provenance begin; nobody but the builder may make it.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/";
/// One attestation is not larger than this.
pub const LARGEST: u64 = 40 << 20;

/// Something said about one image of a result.
#[derive(Clone, Debug)]
pub struct Attestation {
    pub kind: Kind,
    pub predicate_type: String,
    /// Empty means the image itself.
    pub subjects: Vec<Subject>,
    /// The file, or for a bundle the folder, in the tree; its last part is the name of an exported file.
    pub path: String,
    pub content: Content,
    /// The name of the SBOM of the image itself, if this is or may hold it; files of that name are supplemented.
    pub sbom_core: Option<String>,
    /// Nobody asked for it in particular.
    pub inline_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A predicate.
    InToto,
    /// A folder with a statement in each file.
    Bundle,
}

/// What an attestation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The image, also by this name if there is one.
    Image { name: String },
    /// Something else.
    Other { name: String, digests: Vec<Digest> },
}

#[derive(Clone)]
pub enum Content {
    /// In files of a tree; `None` is scratch.
    Tree(Option<Ref>),
    /// Known already.
    Bytes(Bytes),
    /// Made when it is exported.
    Made(Arc<dyn Make>),
}

/// Makes a predicate when everything else of the image is there. Blocks.
pub trait Make: Send + Sync {
    /// `layers` are those of the image, empty for files.
    fn make(&self, layers: &[Descriptor]) -> io::Result<Bytes>;
}

/// Where the attestations of an image go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Into the image's index.
    #[default]
    Index,
    /// Beside the image, found by the digest of the image they point to.
    Referrers,
    /// Nowhere.
    None,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tree(_) => "Tree",
            Self::Bytes(_) => "Bytes",
            Self::Made(_) => "Made",
        })
    }
}

impl Attestation {
    /// The predicate, for an image of these layers. Blocks.
    pub fn read(&self, layers: &[Descriptor]) -> Result<Bytes> {
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes.clone()),
            Content::Made(made) => made.make(layers).map_err(Error::output("make an attestation")),
            Content::Tree(None) => Err(self.missing()),
            Content::Tree(Some(tree)) => {
                let mounted = tree.mount()?;
                read_file(mounted.root(), &self.path)
            }
        }
    }

    fn missing(&self) -> Error {
        Error::Attestation(format!("{}: no such file or directory", self.path))
    }

    /// Refuses one that says nothing or says where it is.
    pub(crate) fn check(&self) -> Result<()> {
        if self.kind != Kind::Bundle && self.path.is_empty() {
            return Err(Error::Attestation("an attestation does not say in which file it is".into()));
        }
        Ok(())
    }

    /// `sbom` of `sbom.spdx.json`.
    fn is_core(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        self.sbom_core.as_deref().is_some_and(|core| core == stem)
    }
}

/// A file of a foreign tree, if it is a plain one and not too large.
fn read_file(root: impl AsFd, path: &str) -> Result<Bytes> {
    let read = inroot::read_to_limit(root, Path::new(path), LARGEST);
    read.map(Bytes::from).map_err(|error| Error::Attestation(error.to_string()))
}
