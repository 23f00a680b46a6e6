//! What lies between two trees, as a snapshot of its own.
//!
//! Such a snapshot stands on nothing, so it cannot show what was deleted. Its *layer* can: it is kept as a blob, with
//! the deletions in it, and is what is exported and what [`super::restack`] applies. The snapshot is marked, because
//! of any other one the layer can be told from its directory.

use std::fs::File;
use std::os::fd::AsFd;

use slipway_model::media_type::Compression;

use super::apply::{ApplyOptions, Limits, apply};
use super::compress::{CompressOptions, compress};
use super::diff::{DiffOptions, Difference, Form, write_diff};
use super::of_ref::open;
use super::unpack::target_of;
use super::{Expected, LayerError};
use crate::cores;
use crate::refs::{LayerBlob, PrepareOptions, Ref};
use crate::store::Store;

/// The mark.
const FACT: &str = "between";

/// What turns `lower` into `upper`; `None` is an empty tree. Blocks; costs a walk over both, and the bytes of what
/// differs.
pub fn between(
    store: &Store,
    lower: Option<&Ref>,
    upper: Option<&Ref>,
    options: PrepareOptions,
) -> Result<Ref, LayerError> {
    let (below, above) = (lower.map(Ref::mount).transpose()?, upper.map(Ref::mount).transpose()?);
    let empty = store.prepare(None, PrepareOptions::default())?;
    let nothing = open(&empty.upper_dir())?;
    let difference = Difference {
        upper: above.as_ref().map_or(nothing.as_fd(), AsFd::as_fd),
        lower: below.as_ref().map(AsFd::as_fd),
        form: Form::Tree,
    };
    let mut ingest = store.blobs().ingest(None)?;
    let packing = CompressOptions { compression: Compression::Uncompressed, ..CompressOptions::default() };
    let produce = Box::new(|out: &mut dyn std::io::Write| {
        write_diff(difference, DiffOptions::default(), out).map(drop)
    });
    let packed = compress(packing, cores(), &mut ingest, produce)?;
    // Held until the snapshot names it.
    let stored = ingest.commit()?;
    let active = store.prepare(None, options)?;
    let root = open(&active.upper_dir())?;
    let how = ApplyOptions {
        target: target_of(&active, true),
        limits: Limits::default(),
        expected: Expected::default(),
    };
    let mut blob = store.blobs().open(&packed.blob)?.ok_or_else(|| gone(&packed.blob))?;
    apply(&mut blob, root.as_fd(), how)?;
    drop(root);
    let made = active.commit()?;
    made.set_diff_id(&packed.diff_id)?;
    made.add_layer_blob(&LayerBlob {
        digest: packed.blob,
        media_type: Compression::Uncompressed.oci_layer().into(),
        size: packed.size,
        annotations: Default::default(),
    })?;
    made.set_fact(FACT, &packed.blob.to_string().into_bytes())?;
    drop(stored);
    Ok(made)
}

/// The layer of `snapshot`, if only a blob holds all of it.
pub(super) fn layer_of(snapshot: &Ref) -> Result<Option<File>, LayerError> {
    let Some(fact) = snapshot.fact(FACT)? else { return Ok(None) };
    let digest = std::str::from_utf8(&fact).ok().and_then(|text| text.parse().ok());
    let Some(digest) = digest else { return Ok(None) };
    snapshot.store().blobs().open(&digest)?.ok_or_else(|| gone(&digest)).map(Some)
}

fn gone(digest: &slipway_model::BlobDigest) -> LayerError {
    LayerError::Output(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        format!("the layer {digest} is gone"),
    ))
}
