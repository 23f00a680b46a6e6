//! What lies between two trees, as a snapshot of its own.
//!
//! Such a snapshot stands on nothing, or on others of its kind, so it cannot show what was deleted. Its *layer* can: it
//! is kept as a blob, with the deletions in it, and is what is exported and what [`super::restack`] applies. The snapshot
//! is marked, because of any other one the layer can be told from its directory.
//!
//! | the layer | is kept as |
//! |---|---|
//! | of a snapshot that has a blob here | that blob, so that an image of the difference has the digests of the images it is from |
//! | anything else | a blob made here, uncompressed; an export packs it anew |

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use slipway_model::media_type::Compression;
use slipway_model::{BlobDigest, DiffId};

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
        return by_writing(store, None, options, |out| difference(store, lower, upper, out));
    };
    let mut made = by_layer(store, None, options.clone(), first)?;
    for further in further {
        made = by_layer(store, Some(&made), options.clone(), further)?;
    }
    Ok(made)
}

/// The snapshots that lead from `lower` to `upper`, if they do.
fn layers_above(lower: &Ref, upper: &Ref) -> Option<Vec<Ref>> {
    let mut chain = upper.chain();
    let at = chain.iter().position(|snapshot| snapshot == lower)?;
    Some(chain.split_off(at + 1))
}

/// A snapshot on `onto` that changes what `layer` changed.
fn by_layer(
    store: &Store,
    onto: Option<&Ref>,
    options: PrepareOptions,
    layer: &Ref,
) -> Result<Ref, LayerError> {
    let facts = layer.layer_facts()?;
    let only_form = only_form(layer)?;
    let is_it = |blob: &&LayerBlob| only_form.is_none_or(|only| only == blob.digest);
    for blob in facts.blobs.iter().filter(is_it) {
        let lease = store.blobs().hold(&blob.digest);
        if let (Some(diff_id), Some(_)) = (facts.diff_id, store.blobs().open_whole(&blob.digest)?) {
            let made = by_blob(store, onto, options, diff_id, blob)?;
            drop(lease);
            return Ok(made);
        }
    }
    match only_form {
        Some(digest) => Err(gone(&digest)),
        None => by_writing(store, onto, options, |out| diff(layer, DiffOptions::default(), out)),
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

/// A snapshot on `onto` that is what the layer that `write` writes makes of it.
fn by_writing(
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
    let blob = LayerBlob {
        digest: packed.blob,
        media_type: Compression::Uncompressed.oci_layer().into(),
        size: packed.size,
        annotations: Default::default(),
        urls: Vec::new(),
    };
    let made = by_blob(store, onto, options, packed.diff_id, &blob)?;
    drop(stored);
    Ok(made)
}

/// A snapshot on `onto` that is what the layer `blob` makes of it, and keeps that.
fn by_blob(
    store: &Store,
    onto: Option<&Ref>,
    options: PrepareOptions,
    diff_id: DiffId,
    blob: &LayerBlob,
) -> Result<Ref, LayerError> {
    let active = store.prepare(onto, options)?;
    let root = open(&active.upper_dir())?;
    let how = ApplyOptions {
        target: target_of(&active, onto.is_none()),
        limits: Limits::default(),
        expected: Expected { blob: Some(blob.digest), diff_id: Some(diff_id) },
    };
    let mut file = store.blobs().open(&blob.digest)?.ok_or_else(|| gone(&blob.digest))?;
    apply(&mut file, root.as_fd(), how)?;
    drop(root);
    let made = active.commit()?;
    made.set_diff_id(&diff_id)?;
    made.add_layer_blob(blob)?;
    made.set_fact(FACT, &blob.digest.to_string().into_bytes())?;
    Ok(made)
}

/// The layer of `snapshot`, if only a blob holds all of it.
pub(super) fn layer_of(snapshot: &Ref) -> Result<Option<File>, LayerError> {
    let Some(digest) = only_form(snapshot)? else { return Ok(None) };
    snapshot.store().blobs().open(&digest)?.ok_or_else(|| gone(&digest)).map(Some)
}

/// The blob that holds what the directory of `snapshot` does not show.
pub(super) fn only_form(snapshot: &Ref) -> Result<Option<BlobDigest>, LayerError> {
    let Some(fact) = snapshot.fact(FACT)? else { return Ok(None) };
    Ok(std::str::from_utf8(&fact).ok().and_then(|text| text.parse().ok()))
}

fn gone(digest: &BlobDigest) -> LayerError {
    LayerError::Output(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        format!("the layer {digest} is gone"),
    ))
}
