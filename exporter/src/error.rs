//! What can go wrong with an export.

use std::io;

use slipway_model::BlobDigest;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Options are named as the client wrote them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("unknown exporter {0:?}: use image, oci, docker, local or tar")]
    UnknownExporter(String),
    #[error("unknown option {option:?} of exporter {exporter}")]
    UnknownOption { exporter: &'static str, option: String },
    #[error("option {option:?} of exporter {exporter} is not supported")]
    UnsupportedOption { exporter: &'static str, option: String },
    #[error("invalid value {value:?} of option {option:?}: {reason}")]
    Option { option: String, value: String, reason: String },
    #[error("exporter option \"compression={0}\" conflicts with \"oci-mediatypes=false\"")]
    CompressionNeedsOci(&'static str),
    #[error("compatibility-version {version} does not support \"compression={compression}\"")]
    CompressionOfVersion { compression: &'static str, version: i64 },
    #[error("cannot export annotations with \"oci-mediatypes=false\"")]
    AnnotationsNeedOci,
    #[error("index annotations not supported for single platform export")]
    IndexAnnotations,
    #[error("invalid annotation: no platform {0} found in source")]
    AnnotationPlatform(String),
    #[error("cannot export attestations with \"oci-mediatypes=false\"")]
    AttestationsNeedOci,
    #[error("exporter option \"oci-artifact=true\" conflicts with \"oci-mediatypes=false\"")]
    ArtifactNeedsOci,
    #[error(
        "option \"attestations=referrers\" conflicts with \"oci-artifact=false\": only artifacts point to images"
    )]
    ReferrersNeedArtifacts,
    #[error("cannot export an attestation: {0}")]
    Attestation(String),
    #[error("duplicate attestation path name {0}")]
    SameAttestation(String),
    #[error("docker exporter does not currently support exporting manifest lists")]
    DockerIndex,
    #[error("exporter option \"rewrite-timestamp\" conflicts with \"unpack\"")]
    RewriteAndUnpack,
    #[error("invalid image config for export: {0}")]
    Config(String),
    #[error("invalid null image config for export")]
    NoConfig,
    #[error("invalid image config: os and architecture must be specified together")]
    HalfPlatform,
    #[error("cannot export {0} images without multi-platform enabled")]
    SeveralImages(usize),
    #[error("option mode=delete needs a folder for each platform: leave platform-split=false out")]
    DeleteOfSeveral,
    #[error("cannot overwrite {path} from {first} with {second} when split option is disabled")]
    Overlapping { path: String, first: String, second: String },
    #[error("invalid image name {name:?}")]
    Name {
        name: String,
        #[source]
        source: slipway_model::ReferenceError,
    },
    #[error("option \"push\" needs a name: add name=REGISTRY/REPOSITORY[:TAG]")]
    PushWithoutName,
    #[error("no registry client to push {0:?} with")]
    NoClient(String),
    #[error("failed to push {name}")]
    Push {
        name: String,
        #[source]
        source: Box<slipway_registry::Error>,
    },
    #[error("cannot name the image {name:?}")]
    Register { name: String, source: crate::images::RegisterError },
    #[error("cannot unpack the image {name:?}")]
    Unpack { name: String, source: crate::images::RegisterError },
    #[error("blob {0} is not in the store")]
    MissingBlob(Box<BlobDigest>),
    #[error(transparent)]
    Layer(#[from] slipway_store::layer::LayerError),
    #[error(transparent)]
    Store(#[from] slipway_store::Error),
    #[error("cannot {action}")]
    Output {
        action: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {what} as JSON")]
    Json {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    pub(crate) fn output(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Output { action, source }
    }

    /// Whether the client says that it has what it was sent.
    pub(crate) fn is_there_already(&self) -> bool {
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(one) = error {
            if let Some(io) = one.downcast_ref::<io::Error>() {
                return io.kind() == io::ErrorKind::AlreadyExists;
            }
            error = one.source();
        }
        false
    }

    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source }
    }
}

/// Runs `work`, which blocks, on a thread for that; its panic goes on here.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(stopped) => Err(Error::output("finish the export")(io::Error::other(stopped))),
        },
    }
}
