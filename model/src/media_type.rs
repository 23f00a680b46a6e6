//! Media types of the OCI image-spec and of Docker's image manifest v2, schema 2.
//!
//! The two families describe the same things. Exporters pick one family for a whole image;
//! readers accept both.

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Nothing: the config of an artifact that has none.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// A statement of in-toto.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What an attestation manifest is an artifact of.
pub const ATTESTATION_ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// Layers that registries may not hand on: of the manifest's `urls` alone.
pub const OCI_FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
pub const OCI_FOREIGN_LAYER_GZIP: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
pub const OCI_FOREIGN_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
pub const DOCKER_FOREIGN_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
pub const DOCKER_FOREIGN_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd";
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// What a registry client says it can read.
pub const MANIFESTS_ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_INDEX)
}

pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}

/// How a layer blob is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    Uncompressed,
    #[default]
    Gzip,
    Zstd,
}

impl Compression {
    /// The compression a layer's media type names; `None` for what is not a layer.
    pub fn of_layer(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_LAYER | DOCKER_LAYER | OCI_FOREIGN_LAYER | DOCKER_FOREIGN_LAYER => Some(Self::Uncompressed),
            OCI_LAYER_GZIP | DOCKER_LAYER_GZIP | OCI_FOREIGN_LAYER_GZIP | DOCKER_FOREIGN_LAYER_GZIP => {
                Some(Self::Gzip)
            }
            OCI_LAYER_ZSTD | DOCKER_LAYER_ZSTD | OCI_FOREIGN_LAYER_ZSTD | DOCKER_FOREIGN_LAYER_ZSTD => {
                Some(Self::Zstd)
            }
            _ => None,
        }
    }

    pub fn oci_layer(self) -> &'static str {
        match self {
            Self::Uncompressed => OCI_LAYER,
            Self::Gzip => OCI_LAYER_GZIP,
            Self::Zstd => OCI_LAYER_ZSTD,
        }
    }

    pub fn docker_layer(self) -> &'static str {
        match self {
            Self::Uncompressed => DOCKER_LAYER,
            Self::Gzip => DOCKER_LAYER_GZIP,
            Self::Zstd => DOCKER_LAYER_ZSTD,
        }
    }

    pub fn oci_foreign_layer(self) -> &'static str {
        match self {
            Self::Uncompressed => OCI_FOREIGN_LAYER,
            Self::Gzip => OCI_FOREIGN_LAYER_GZIP,
            Self::Zstd => OCI_FOREIGN_LAYER_ZSTD,
        }
    }

    pub fn docker_foreign_layer(self) -> &'static str {
        match self {
            Self::Uncompressed => DOCKER_FOREIGN_LAYER,
            Self::Gzip => DOCKER_FOREIGN_LAYER_GZIP,
            Self::Zstd => DOCKER_FOREIGN_LAYER_ZSTD,
        }
    }
}
