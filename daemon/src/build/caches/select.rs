//! Which results an export takes along, and the layers they are made of.
//!
//! A chain of a hundred steps has a hundred results, each with the layers of all before it. Layers are
//! therefore asked for once for each snapshot: the longest chains first, and whatever is part of one is done.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use slipway_cache::remote::compose::{Forest, Top};
use slipway_cache::remote::config::time_to;
use slipway_cache::remote::manifest::layer_descriptor;
use slipway_cache::remote::records::RemoteLayer;
use slipway_cache::remote::walk::{Step, walk};
use slipway_exporter::push::StoreBlob;
use slipway_model::{BlobDigest, Descriptor, DiffId};
use slipway_registry::BlobSource;
use slipway_solver::{KeyId, Record, RecordSource, with_causes};
use slipway_store::layer::LayerOptions;
use slipway_store::snapshot::SnapshotId;
use slipway_store::{BlobLease, Ref};
use slipway_worker::source::image::Origin;
use slipway_worker::{Value, results};

use super::import::Imports;
use super::options::{CacheExport, Mode};
use super::target::{Lost, OriginBlob};
use crate::engine::Engine;

/// A step's result that is worth giving away.
pub(super) enum Found {
    /// A snapshot of the store.
    Here(Ref),
    /// Layers that are still where they were imported from.
    There(Vec<RemoteLayer>, Arc<dyn Origin>),
}

/// The steps to `keys`, and for each its newest result, if it has one.
pub(super) fn results_of(
    engine: &Engine,
    imports: &Imports,
    keys: &[KeyId],
) -> (Vec<Step>, Vec<Option<(Record, Found)>>) {
    let store: &dyn RecordSource<Value> = &*engine.records;
    let steps = walk(&[store, imports], keys);
    let found = steps.iter().map(|step| newest(engine, imports, step)).collect();
    (steps, found)
}

/// What is here before what is not; of both the newest. Sources have no results to give: everybody can get
/// those from where they came.
fn newest(engine: &Engine, imports: &Imports, step: &Step) -> Option<(Record, Found)> {
    if step.inputs.is_empty() {
        return None;
    }
    let newest_first = |mut records: Vec<Record>| {
        records.sort_by_key(|record| std::cmp::Reverse(record.created));
        records
    };
    let here = newest_first(step.keys.iter().flat_map(|key| engine.records.records(key)).collect());
    // What was imported was made when it was made: an export right after it is the same again.
    let imported = step.keys.iter().flat_map(|key| imports.records(key)).map(|record| record.created).min();
    for record in here {
        let Some(name) = engine.records.result_of(&record.id) else { continue };
        match results::named(&engine.store, &name) {
            Ok(Value::Snapshot(snapshot)) => {
                let created = imported.map_or(record.created, |imported| imported.min(record.created));
                return Some((Record { created, ..record }, Found::Here(snapshot)));
            }
            Ok(_) => return None,
            Err(error) => tracing::debug!(record = %record.id, %error, "a result is not exported"),
        }
    }
    let there = newest_first(step.keys.iter().flat_map(|key| imports.records(key)).collect());
    there.into_iter().find_map(|record| {
        let (layers, origin) = imports.layers_of(&record.id)?;
        Some((record, Found::There(layers, origin)))
    })
}

/// The layers of a result, as far as it is known what they are.
pub(super) struct KnownLayers(Vec<Option<DiffId>>);

impl KnownLayers {
    pub(super) fn of(top: &Ref) -> Self {
        let diff_id = |snapshot: &Ref| snapshot.layer_facts().ok()?.diff_id;
        Self(top.chain().iter().map(diff_id).collect())
    }

    /// Whether `layers` are the lowest of them.
    pub(super) fn begin_with(&self, layers: &[RemoteLayer]) -> bool {
        let here = self.0.get(..layers.len());
        here.is_some_and(|here| here.iter().zip(layers).all(|(known, layer)| *known == Some(layer.diff_id)))
    }
}

/// What is exported.
pub(super) struct Selection {
    pub steps: Vec<Step>,
    pub results: Vec<Option<Top>>,
    pub forest: Forest,
    pub blobs: HashMap<BlobDigest, Blob>,
}

/// A layer to be written.
pub(super) struct Blob {
    /// As a cache's manifest lists it.
    pub descriptor: Descriptor,
    pub source: Arc<dyn BlobSource>,
    _lease: Option<BlobLease>,
}

/// What `export` takes of a build whose results are `tops`, known under `keys`. Blocks: layers that nobody has
/// exported before are packed now.
pub(super) fn select(
    engine: &Engine,
    imports: &Imports,
    export: &CacheExport,
    keys: &[KeyId],
    tops: &[Ref],
    lost: &Lost,
) -> Result<Selection, String> {
    let (steps, found) = results_of(engine, imports, keys);
    let mut selecting = Selecting {
        engine,
        options: &export.layers,
        oci: export.is_oci(),
        forest: Forest::default(),
        places: HashMap::new(),
        blobs: HashMap::new(),
        lost,
    };
    let of_result: BTreeSet<SnapshotId> =
        tops.iter().flat_map(|top| top.chain()).map(|snapshot| snapshot.id()).collect();
    let known: Vec<_> = tops.iter().map(KnownLayers::of).collect();
    let wanted = |found: &Found| match (export.mode, found) {
        // What cannot be passed on is left out; steps are still told of.
        (_, Found::There(layers, _))
            if layers.iter().any(|layer| lost.contains(&layer.descriptor.digest)) =>
        {
            false
        }
        (Mode::Max, _) => true,
        (Mode::Min, Found::Here(snapshot)) => of_result.contains(&snapshot.id()),
        (Mode::Min, Found::There(layers, _)) => known.iter().any(|known| known.begin_with(layers)),
    };
    let found: Vec<_> = found.into_iter().map(|found| found.filter(|(_, found)| wanted(found))).collect();
    let mut here: Vec<&Ref> = found
        .iter()
        .flatten()
        .filter_map(|(_, found)| match found {
            Found::Here(snapshot) => Some(snapshot),
            Found::There(..) => None,
        })
        .collect();
    here.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.depth()));
    for snapshot in here {
        selecting.pack(snapshot).map_err(|error| with_causes(&error))?;
    }
    let mut results = Vec::new();
    for found in found {
        results.push(found.and_then(|(record, found)| {
            let layer = match found {
                Found::Here(snapshot) => selecting.places.get(&snapshot.id()).copied(),
                Found::There(layers, origin) => selecting.pass_on(layers, &origin),
            };
            Some(Top { layer: layer?, created: record.created })
        }));
    }
    let Selecting { forest, blobs, .. } = selecting;
    Ok(Selection { steps, results, forest, blobs })
}

struct Selecting<'a> {
    engine: &'a Engine,
    options: &'a LayerOptions,
    oci: bool,
    forest: Forest,
    /// Where a snapshot's layer is in the forest.
    places: HashMap<SnapshotId, usize>,
    blobs: HashMap<BlobDigest, Blob>,
    lost: &'a Lost,
}

impl Selecting<'_> {
    fn pack(&mut self, top: &Ref) -> Result<(), slipway_store::layer::LayerError> {
        if self.places.contains_key(&top.id()) {
            return Ok(());
        }
        let mut below = None;
        for (snapshot, layer) in top.chain().iter().zip(top.layers(self.options)?) {
            let digest = layer.descriptor.digest;
            let place = self.forest.add(digest, below);
            self.places.insert(snapshot.id(), place);
            below = Some(place);
            let created = Some(time_to(snapshot.created()));
            self.blobs.entry(digest).or_insert_with(|| Blob {
                descriptor: layer_descriptor(&layer.descriptor, &layer.diff_id, created, self.oci),
                source: Arc::new(StoreBlob { store: self.engine.store.clone(), digest }),
                _lease: Some(layer.lease),
            });
        }
        Ok(())
    }

    /// The place of the topmost of `layers`.
    fn pass_on(&mut self, layers: Vec<RemoteLayer>, origin: &Arc<dyn Origin>) -> Option<usize> {
        let mut below = None;
        for RemoteLayer { descriptor, diff_id } in layers {
            let digest = descriptor.digest;
            below = Some(self.forest.add(digest, below));
            let created = descriptor.annotations.get(slipway_cache::remote::CREATED_AT).cloned();
            self.blobs.entry(digest).or_insert_with(|| Blob {
                descriptor: layer_descriptor(&descriptor, &diff_id, created, self.oci),
                source: Arc::new(OriginBlob { origin: origin.clone(), descriptor, lost: self.lost.clone() }),
                _lease: None,
            });
        }
        below
    }
}
