//! The layers of a committed snapshot: computed when somebody exports it, and remembered.
//!
//! | a snapshot of the chain | its layer |
//! |---|---|
//! | has a blob here | that blob, whatever its compression, so that base layers keep their digests |
//! | the same, and the compression is forced | that of the right compression; else one is packed anew from it, the diff id staying |
//! | is a difference, with an uncompressed blob of our own making | packed from that as asked |
//! | has none, or times are to be rewritten | the diff of the snapshot, packed as asked |
//!
//! An eStargz layer is another one than the snapshot's: the table of its files counts to it.
//!
//! Snapshots are independent of each other and done in parallel; two exports that need the same one
//! wait for each other instead of doing it twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};
use slipway_model::media_type::Compression;
use slipway_model::{Descriptor, DiffId};

use super::between::only_form;
use super::compress::{CompressOptions, Compressed, TOC_DIGEST, UNCOMPRESSED_SIZE, compress};
use super::diff::{DiffOptions, Difference, Form, write_diff};
use super::{LayerError, apply};
use crate::blob::{BlobLease, Ingest};
use crate::cores;
use crate::refs::{LayerBlob, Ref};
use crate::snapshot::{Changes, SnapshotId};

/// How layers are wanted.
#[derive(Clone, Debug, Default)]
pub struct LayerOptions {
    pub compress: CompressOptions,
    /// Also for layers that exist with another compression.
    pub force: bool,
    /// No file time after this one (seconds since 1970), but in layers of `unchanged`.
    pub latest_time: Option<i64>,
    /// Layers of a base image, which keep their times.
    pub unchanged: BTreeSet<DiffId>,
}

/// A layer whose blob is in the store, and stays there while this lives.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Of an OCI media type; a Docker one if the layer came with it.
    pub descriptor: Descriptor,
    pub diff_id: DiffId,
    pub lease: BlobLease,
}

impl Ref {
    /// The layers of this snapshot, from the bottom up. Blocks; uses all cores.
    pub fn layers(&self, options: &LayerOptions) -> Result<Vec<Layer>, LayerError> {
        options.compress.check()?;
        let chain = self.chain();
        let next = AtomicUsize::new(0);
        let done = Mutex::new(BTreeMap::new());
        let at_once = cores().clamp(1, 4).min(chain.len());
        let threads = cores().div_ceil(at_once);
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some((index, snapshot)) = take(&chain, &next) {
                        let layer = layer(snapshot, options, threads);
                        let failed = layer.is_err();
                        done.lock().insert(index, layer);
                        if failed {
                            next.store(chain.len(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        done.into_inner().into_values().collect()
    }
}

fn take<'a>(chain: &'a [Ref], next: &AtomicUsize) -> Option<(usize, &'a Ref)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    chain.get(index).map(|snapshot| (index, snapshot))
}

fn layer(snapshot: &Ref, options: &LayerOptions, threads: usize) -> Result<Layer, LayerError> {
    let _turn = Turn::take(snapshot.id());
    let facts = snapshot.layer_facts()?;
    let is_base = facts.diff_id.is_some_and(|diff_id| options.unchanged.contains(&diff_id));
    let latest_time = options.latest_time.filter(|_| !is_base);
    if latest_time.is_some() {
        // Not remembered: it is the layer of this export, not of the snapshot.
        return packed(snapshot, options, latest_time, threads).map(|(layer, _)| layer);
    }
    let seekable = options.compress.seekable;
    let Some(diff_id) = facts.diff_id else {
        return match seekable {
            true => packed(snapshot, options, None, threads).map(|(layer, _)| layer),
            false => first(snapshot, options, threads),
        };
    };
    match available(snapshot, &facts.blobs, diff_id, options)? {
        Available::AsWanted(layer) => Ok(*layer),
        Available::Otherwise(blob) => repacked(snapshot, &blob, diff_id, options, threads),
        Available::Not if seekable => packed(snapshot, options, None, threads).map(|(layer, _)| layer),
        Available::Not => first(snapshot, options, threads),
    }
}

enum Available {
    AsWanted(Box<Layer>),
    Otherwise(File),
    Not,
}

fn available(
    snapshot: &Ref,
    blobs: &[LayerBlob],
    diff_id: DiffId,
    options: &LayerOptions,
) -> Result<Available, LayerError> {
    let store = snapshot.store().blobs();
    let mut otherwise = Available::Not;
    let wanted = |blob: &&LayerBlob| {
        Compression::of_layer(&blob.media_type) == Some(options.compress.compression)
            && (!options.compress.seekable || blob.annotations.contains_key(TOC_DIGEST))
    };
    let (fitting, others): (Vec<_>, Vec<_>) = blobs.iter().partition(wanted);
    let fits = fitting.len();
    let only_form = only_form(snapshot)?;
    let is_raw = |blob: &LayerBlob| {
        only_form == Some(blob.digest)
            && Compression::of_layer(&blob.media_type) == Some(Compression::Uncompressed)
    };
    for (index, blob) in fitting.into_iter().chain(others).enumerate() {
        let lease = store.hold(&blob.digest);
        let Some(file) = store.open_whole(&blob.digest)? else { continue };
        if index < fits || !(options.force || is_raw(blob)) {
            let layer = Layer { descriptor: blob.descriptor(), diff_id, lease };
            return Ok(Available::AsWanted(Box::new(layer)));
        }
        otherwise = Available::Otherwise(file);
    }
    Ok(otherwise)
}

/// The first blob of a snapshot's own diff.
fn first(snapshot: &Ref, options: &LayerOptions, threads: usize) -> Result<Layer, LayerError> {
    let (layer, blob) = packed(snapshot, options, None, threads)?;
    // A layer that was unpacked from elsewhere keeps the diff id it came with.
    let known = snapshot.layer_facts()?.diff_id;
    if known.is_none_or(|known| known == layer.diff_id) {
        snapshot.set_diff_id(&layer.diff_id)?;
        snapshot.add_layer_blob(&blob)?;
    }
    Ok(layer)
}

fn packed(
    snapshot: &Ref,
    options: &LayerOptions,
    latest_time: Option<i64>,
    threads: usize,
) -> Result<(Layer, LayerBlob), LayerError> {
    let mut ingest = snapshot.store().blobs().ingest(None)?;
    let produce = Box::new(|out: &mut dyn std::io::Write| diff(snapshot, DiffOptions { latest_time }, out));
    let compressed = compress(options.compress, threads, &mut ingest, produce)?;
    keep(ingest, compressed, options.compress.compression)
}

fn repacked(
    snapshot: &Ref,
    blob: &File,
    diff_id: DiffId,
    options: &LayerOptions,
    threads: usize,
) -> Result<Layer, LayerError> {
    let mut ingest = snapshot.store().blobs().ingest(None)?;
    let produce = Box::new(|mut out: &mut dyn std::io::Write| {
        let mut blob = blob;
        apply::uncompressed(&mut blob, |mut tar| {
            std::io::copy(&mut tar, &mut out).map(drop).map_err(LayerError::Output)
        })
    });
    let compressed = compress(options.compress, threads, &mut ingest, produce)?;
    if compressed.table.is_none() && compressed.diff_id != diff_id {
        return Err(LayerError::DiffMismatch {
            expected: Box::new(diff_id),
            found: Box::new(compressed.diff_id),
        });
    }
    let (layer, blob) = keep(ingest, compressed, options.compress.compression)?;
    if layer.diff_id == diff_id {
        snapshot.add_layer_blob(&blob)?;
    }
    Ok(layer)
}

fn keep(
    ingest: Ingest,
    compressed: Compressed,
    compression: Compression,
) -> Result<(Layer, LayerBlob), LayerError> {
    let stored = ingest.commit()?;
    let mut descriptor = Descriptor::new(compression.oci_layer(), compressed.blob, compressed.size);
    if let Some(table) = compressed.table {
        descriptor.annotations.insert(TOC_DIGEST.into(), table.to_string());
        descriptor.annotations.insert(UNCOMPRESSED_SIZE.into(), compressed.uncompressed_size.to_string());
    }
    let blob = LayerBlob::from(&descriptor);
    Ok((Layer { descriptor, diff_id: compressed.diff_id, lease: stored.lease }, blob))
}

/// Writes what `snapshot` changed, as a tar.
pub fn diff(snapshot: &Ref, options: DiffOptions, out: &mut dyn std::io::Write) -> Result<(), LayerError> {
    let changes = snapshot.changes();
    let upper = open(changes.directory())?;
    match &changes {
        Changes::Upper { .. } => {
            let below = snapshot.parent().map(Ref::mount).transpose()?;
            let lower = below.as_ref().map(AsFd::as_fd);
            write_diff(Difference { upper: upper.as_fd(), lower, form: Form::Overlay }, options, out)?;
        }
        Changes::Trees { lower, .. } => {
            let lower = lower.as_deref().map(open).transpose()?;
            let lower = lower.as_ref().map(AsFd::as_fd);
            write_diff(Difference { upper: upper.as_fd(), lower, form: Form::Tree }, options, out)?;
        }
    }
    Ok(())
}

/// A directory of the store's own.
pub(super) fn open(path: &Path) -> Result<File, LayerError> {
    use std::os::unix::ffi::OsStrExt as _;
    File::open(path).map_err(LayerError::file("open", path.as_os_str().as_bytes()))
}

/// Who computes a layer of which snapshot; the ids are random, so one list serves all stores.
static BUSY: Mutex<BTreeSet<SnapshotId>> = Mutex::new(BTreeSet::new());
static FREED: Condvar = Condvar::new();

struct Turn(SnapshotId);

impl Turn {
    fn take(id: SnapshotId) -> Self {
        let mut busy = BUSY.lock();
        while !busy.insert(id) {
            FREED.wait(&mut busy);
        }
        Self(id)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        BUSY.lock().remove(&self.0);
        FREED.notify_all();
    }
}
