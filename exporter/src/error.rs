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
    #[error("cannot export annotations with \"oci-mediatypes=false\"")]
    AnnotationsNeedOci,
    #[error("index annotations not supported for single platform export")]
    IndexAnnotations,
    #[error("invalid annotation: no platform {0} found in source")]
    AnnotationPlatform(String),
    #[error("docker exporter does not currently support exporting manifest lists")]
    DockerIndex,
    #[error("exporter option \"rewrite-timestamp\" conflicts with \"unpack\"")]
    RewriteAndUnpack,
    #[error("invalid image config for export: {0}")]
    Config(String),
    #[error("cannot export {0} images without multi-platform enabled")]
    SeveralImages(usize),
    #[error("cannot overwrite {path:?} from {first} with {second} when split option is disabled")]
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
