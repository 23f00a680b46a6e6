//! What can go wrong with a layer.

use std::io;

use slipway_model::{BlobDigest, DiffId, Digest};

/// An error names the path inside the layer, as the layer writes it.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("cannot {action} {path:?}")]
    File {
        action: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the layer")]
    Input(#[source] io::Error),
    #[error(transparent)]
    Store(#[from] crate::Error),
    #[error("cannot write the layer")]
    Output(#[source] io::Error),
    #[error("{path:?} changed while it was read: expected {expected} bytes, found {found}")]
    Changed { path: String, expected: u64, found: u64 },
    #[error("invalid layer: {path:?}: {reason}")]
    Malformed { path: String, reason: String },
    #[error("the layer is cut short")]
    Truncated,
    #[error("layer entry {path:?}: {what} exceeds the limit of {limit}")]
    Limit { path: String, what: &'static str, limit: usize },
    #[error("unsupported layer compression: {0}; use gzip, zstd or none")]
    Compression(&'static str),
    #[error("the layer's blob is {found}, expected {expected}")]
    BlobMismatch { expected: Box<BlobDigest>, found: Box<BlobDigest> },
    #[error("the layer's uncompressed content is {found}, expected {expected}")]
    DiffMismatch { expected: Box<DiffId>, found: Box<DiffId> },
    #[error("compression level {level} is out of range: {name} takes {range}")]
    Level { name: &'static str, level: i32, range: &'static str },
    #[error("{path:?} was renamed by the overlay (redirect_dir or metacopy), its layer cannot be told")]
    Redirected { path: String },
}

impl LayerError {
    pub(crate) fn file<E: Into<io::Error>>(action: &'static str, path: &[u8]) -> impl FnOnce(E) -> Self {
        let path = String::from_utf8_lossy(path).into_owned();
        move |source| Self::File { action, path, source: source.into() }
    }

    pub(crate) fn malformed(path: &[u8], reason: impl Into<String>) -> Self {
        Self::Malformed { path: String::from_utf8_lossy(path).into_owned(), reason: reason.into() }
    }
}

/// Compares what was asked for with what came.
pub(crate) fn check(expected: &Expected, blob: Digest, diff: Digest) -> Result<(), LayerError> {
    match expected {
        Expected { blob: Some(expected), .. } if expected.0 != blob => {
            Err(LayerError::BlobMismatch { expected: Box::new(*expected), found: Box::new(BlobDigest(blob)) })
        }
        Expected { diff_id: Some(expected), .. } if expected.0 != diff => {
            Err(LayerError::DiffMismatch { expected: Box::new(*expected), found: Box::new(DiffId(diff)) })
        }
        _ => Ok(()),
    }
}

/// The digests a layer must have; `None` is not compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    pub blob: Option<BlobDigest>,
    pub diff_id: Option<DiffId>,
}
