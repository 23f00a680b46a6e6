//! What lies between two trees, as a snapshot of its own.
//!
//! Such a snapshot stands on nothing, or on others of its kind, so it cannot show what was deleted. Its *layer* can: it
//! is kept as a blob, with the deletions in it, and is what is exported and what [`super::restack`] applies. The snapshot
//! is marked, because of any other one the layer can be told from its directory.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use slipway_model::media_type::Compression;

use super::apply::{ApplyOptions, Limits, apply};
use super::compress::{CompressOptions, compress};
use super::diff::{DiffOptions, Difference, Form, write_diff};
use super::of_ref::{diff, open};
use super::unpack::target_of;
use super::{Expected, LayerError};
use crate::cores;
use crate::refs::{LayerBlob, PrepareOptions, Ref};
use crate::store::Store;

/// The mark.
const FACT: &str = "between";

/// What turns `lower` into `upper`; `None` is an empty tree. Blocks.
///
/// If `upper` stands on `lower`, this is the layers in between as they are, deletions of what another of them added
/// included, and costs what they hold. Else the two are compared: a walk over both, and the bytes of what differs.
pub fn between(
    store: &Store,
    lower: Option<&Ref>,
    upper: Option<&Ref>,
    options: PrepareOptions,
) -> Result<Ref, LayerError> {
    let layers = lower.zip(upper).and_then(|(lower, upper)| layers_above(lower, upper));
    let Some((first, further)) = layers.as_deref().and_then(<[Ref]>::split_first) else {
        return by_layer(store, None, options, |out| difference(store, lower, upper, out));
    };
    let mut made = by_layer(store, None, options.clone(), |out| layer(first, out))?;
    for further in further {
        made = by_layer(store, Some(&made), options.clone(), |out| layer(further, out))?;
    }
    Ok(made)
}

/// The snapshots that lead from `lower` to `upper`, if they do.
fn layers_above(lower: &Ref, upper: &Ref) -> Option<Vec<Ref>> {
    let mut chain = upper.chain();
    let at = chain.iter().position(|snapshot| snapshot == lower)?;
    Some(chain.split_off(at + 1))
}

fn layer(snapshot: &Ref, out: &mut dyn Write) -> Result<(), LayerError> {
    match layer_of(snapshot)? {
        Some(mut blob) => std::io::copy(&mut blob, out).map(drop).map_err(LayerError::Output),
        None => diff(snapshot, DiffOptions::default(), out),
    }
}

fn difference(
    store: &Store,
    lower: Option<&Ref>,
    upper: Option<&Ref>,
    out: &mut dyn Write,
) -> Result<(), LayerError> {
    let (below, above) = (lower.map(Ref::mount).transpose()?, upper.map(Ref::mount).transpose()?);
    let empty = store.prepare(None, PrepareOptions::default())?;
    let nothing = open(&empty.upper_dir())?;
    let difference = Difference {
        upper: above.as_ref().map_or(nothing.as_fd(), AsFd::as_fd),
        lower: below.as_ref().map(AsFd::as_fd),
        form: Form::Tree,
    };
    write_diff(difference, DiffOptions::default(), out).map(drop)
}

/// A snapshot on `onto` that is what the layer that `write` writes makes of it, and keeps that layer.
fn by_layer(
    store: &Store,
    onto: Option<&Ref>,
    options: PrepareOptions,
    write: impl FnOnce(&mut dyn Write) -> Result<(), LayerError> + Send,
) -> Result<Ref, LayerError> {
    let mut ingest = store.blobs().ingest(None)?;
    let packing = CompressOptions { compression: Compression::Uncompressed, ..CompressOptions::default() };
    let packed = compress(packing, cores(), &mut ingest, Box::new(write))?;
    // Held until the snapshot names it.
    let stored = ingest.commit()?;
    let active = store.prepare(onto, options)?;
    let root = open(&active.upper_dir())?;
    let how = ApplyOptions {
        target: target_of(&active, onto.is_none()),
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
        urls: Vec::new(),
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
